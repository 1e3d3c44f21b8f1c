package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what a query parameter's value must look like.
type kind uint8

const (
	text     kind = iota
	boolean       // true | false
	integer       // limit, skip: with ranges of their own
	datetime      // RFC 3339, fraction optional
	list          // by comma
	idList        // by comma, each at least minID
)

const minID = 100_000_000_000_000_000

// param is a query parameter of the endpoint.
type param struct {
	kind  kind
	most  int      // items of a list; 0 for any number
	least int      // characters of an item
	enum  []string // allowed items; nil for any
}

// params holds every parameter of GET /web/api/v2.1/threats: those of the published Swagger document, and three
// that clients send and it lacks (agentTagsData, hasAgentTags, signerIdentity__contains). Names are
// case-sensitive; any other is an error.
var params = makeParams()

func makeParams() map[string]param {
	engines := []string{"reputation", "sentinelone_cloud", "cloud_detection", "user_blacklist", "pre_execution",
		"pre_execution_suspicious", "executables", "data_files", "exploits", "penetration", "pup", "lateral_movement",
		"remote_shell", "manual", "application_control", "threat_intelligence", "watchtower_cloud_detection", "driver_blocking"}
	initiators := []string{"agent_policy", "full_disk_scan", "sentinelctl", "dv_command", "console_api", "on_demand_scan",
		"star_active", "star_manual", "cloud_detection", "threat_intelligence", "watchtower_cloud_detection"}
	m := make(map[string]param, 110)
	// Limits and choices are those of the Swagger document; an item's least length too.
	add := func(p param, names string) {
		for _, name := range strings.Fields(names) {
			m[name] = p
		}
	}
	add(param{kind: text}, "agentTagsData countsFor cursor displayName query")
	add(param{kind: boolean}, `agentIsActive countOnly externalTicketExists failedActions hasAgentTags
		mitigatedPreemptively noteExists pendingActions rebootRequired resolved skipCount tenant`)
	add(param{kind: integer}, "limit skip")
	add(param{kind: datetime}, `createdAt__gt createdAt__gte createdAt__lt createdAt__lte
		updatedAt__gt updatedAt__gte updatedAt__lt updatedAt__lte`)
	add(param{kind: idList, most: 500}, "accountIds groupIds siteIds")
	add(param{kind: idList, most: 5000}, "agentIds collectionIds ids")
	add(param{kind: list, most: 5000}, `agentVersions agentVersionsNin classifications classificationsNin cloudProvider
		cloudProviderNin contentHashes externalTicketIds storylines`)
	add(param{kind: list, most: 255, least: 2}, `awsRole__contains awsSecurityGroups__contains awsSubnetIds__contains
		azureResourceGroup__contains cloudAccount__contains cloudImage__contains cloudInstanceId__contains
		cloudInstanceSize__contains cloudLocation__contains cloudNetwork__contains gcpServiceAccount__contains`)
	add(param{kind: list, most: 10, least: 2}, `commandLineArguments__contains computerName__contains
		containerImageName__contains containerLabels__contains containerName__contains contentHash__contains
		detectionAgentDomain__contains detectionAgentVersion__contains externalTicketId__contains filePath__contains
		initiatedByUsername__contains k8sClusterName__contains k8sControllerLabels__contains
		k8sControllerName__contains k8sNamespaceLabels__contains k8sNamespaceName__contains k8sNodeLabels__contains
		k8sNodeName__contains k8sPodLabels__contains k8sPodName__contains originatedProcess__contains osNames osNamesNin
		publisherName__contains realtimeAgentVersion__contains signerIdentity__contains storyline__contains
		threatDetails__contains uuid__contains`)
	for names, enum := range map[string][]string{
		"agentMachineTypes agentMachineTypesNin": {"unknown", "desktop", "laptop", "server", "kubernetes node",
			"storage", "kubernetes pod"},
		"analystVerdicts analystVerdictsNin":             verdictNames[:],
		"classificationSources classificationSourcesNin": {"Cloud", "Behavioral", "Static", "Engine"},
		"confidenceLevels confidenceLevelsNin":           {"malicious", "suspicious", "n/a"},
		"detectionEngines detectionEnginesNin":           engines,
		"engines enginesNin":                             engines,
		"incidentStatuses incidentStatusesNin":           incidentNames[:],
		"initiatedBy initiatedByNin":                     initiators,
		"mitigationStatuses mitigationStatusesNin":       mitigationNames[:],
		"osArchs":            {"32 bit", "64 bit", "ARM64"},
		"osTypes osTypesNin": {"windows", "windows_legacy", "linux", "macos"},
	} {
		add(param{kind: list, most: 5000, enum: enum}, names)
	}
	m["sortBy"] = param{enum: []string{"id", "createdAt", "updatedAt", "mitigationStatus", "fileDisplayName", "agentVersion",
		"agentMachineType", "siteId", "siteName", "agentComputerName", "filePath", "contentHash", "collectionId",
		"classification", "createdDate", "cloudAccount", "cloudImage", "cloudInstanceId", "cloudInstanceSize",
		"cloudLocation", "cloudNetwork"}}
	m["sortOrder"] = param{enum: []string{"asc", "desc"}}
	return m
}

// check returns what the console says about a value it refuses, without the parameter's name, or "".
func (p *param) check(value string) string {
	switch p.kind {
	case boolean:
		if _, ok := parseBool(value); !ok {
			return "Not a valid boolean."
		}
	case integer:
		if _, err := strconv.Atoi(value); err != nil {
			return "Not a valid integer."
		}
	case datetime:
		if _, err := time.Parse(time.RFC3339Nano, value); err != nil {
			return "Not a valid datetime."
		}
	case list, idList:
		return p.checkItems(strings.Split(value, ","))
	case text:
		if p.enum != nil && !slices.Contains(p.enum, value) {
			return fmt.Sprintf("%q is not a valid choice.", value)
		}
	}
	return ""
}

// checkItems names the first bad item by its index, as the console does.
func (p *param) checkItems(items []string) string {
	if p.most > 0 && len(items) > p.most {
		return fmt.Sprintf("Longer than maximum length %d.", p.most)
	}
	for i, item := range items {
		switch {
		case p.kind == idList:
			if id, err := strconv.ParseUint(item, 10, 64); err != nil {
				return fmt.Sprintf("%d: Not a valid integer.", i)
			} else if id < minID {
				return fmt.Sprintf("%d: Must be greater than or equal to %d.", i, uint64(minID))
			}
		case p.enum != nil && !slices.Contains(p.enum, item):
			return fmt.Sprintf("%d: %q is not a valid choice.", i, item)
		case len(item) < p.least:
			return fmt.Sprintf("%d: Shorter than minimum length %d.", i, p.least)
		}
	}
	return ""
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}
