package source

import (
	"slices"
	"strings"
)

// paramKind is the type of a query parameter's value.
type paramKind int

const (
	kindList paramKind = iota // several texts, joined by commas; a comma inside one can't be escaped
	kindBool                  // true or false
	kindInt                   // a whole number
	kindText                  // one text, taken as it is
	kindTime                  // a moment, sent in UTC with microseconds
	kindJSON                  // one text that is itself JSON
)

func (k paramKind) String() string {
	return [...]string{"list", "bool", "int", "string", "datetime", "json"}[k]
}

// param is one query parameter of GET /web/api/v2.1/threats, as the vendor's API description has it.
type param struct {
	name string
	kind paramKind
	max  int      // list: most items; integer: largest value
	min  int      // integer: smallest value
	item itemRule // list: what each item must look like
	enum []string // the only values there are
	own  string   // set: the walk's own; why no filter may set it
	live string   // set: why a threat may start or stop matching without a new updatedAt
}

// itemRule is what every item of a list must look like.
type itemRule int

const (
	anyItem  itemRule = iota
	idItem            // the decimal id of an account, site, group, agent or threat: 100000000000000000 or more
	wordItem          // two characters or more: the endpoint refuses to search for less
	sha1Item          // 40 hex digits: the endpoint knows no other hash
)

// The endpoint's limits on the number of items.
const (
	paramMaxItems  = 5000
	paramMaxScopes = 500 // accounts, sites, groups
	paramMaxClouds = 255 // cloud properties
	paramMaxWords  = 10  // full-text searches
	paramMaxLimit  = 1000
)

// Why a filter over live fields misses changes. What a page holds is read from the threat, but these are
// matched against something else that moves on its own.
const (
	liveAgent  = "it is matched against the agent as it is now"
	liveAction = "a mitigation's result can appear without a new updatedAt"
	liveTicket = "a note or a ticket may come without a new updatedAt"
	liveQuery  = "it searches the agent's current name and version among others"
)

// Values that several parameters share.
var (
	enumMachineTypes = []string{"unknown", "desktop", "laptop", "server", "kubernetes node", "storage", "kubernetes pod"}
	enumVerdicts     = []string{"undefined", "true_positive", "false_positive", "suspicious"}
	enumStatuses     = []string{"unresolved", "in_progress", "resolved"}
	enumMitigations  = []string{"not_mitigated", "mitigated", "marked_as_benign"}
	enumConfidences  = []string{"malicious", "suspicious", "n/a"}
	enumClassifiers  = []string{"Cloud", "Behavioral", "Static", "Engine"}
	enumOSTypes      = []string{"windows", "windows_legacy", "linux", "macos"}
	enumOSArchs      = []string{"32 bit", "64 bit", "ARM64"}
	enumEngines      = []string{
		"reputation", "sentinelone_cloud", "cloud_detection", "user_blacklist", "pre_execution", "pre_execution_suspicious",
		"executables", "data_files", "exploits", "penetration", "pup", "lateral_movement", "remote_shell", "manual",
		"application_control", "threat_intelligence", "watchtower_cloud_detection", "driver_blocking",
	}
	enumInitiators = []string{
		"agent_policy", "full_disk_scan", "sentinelctl", "dv_command", "console_api", "on_demand_scan", "star_active",
		"star_manual", "cloud_detection", "threat_intelligence", "watchtower_cloud_detection",
	}
	enumSortKeys = []string{
		"id", "createdAt", "updatedAt", "mitigationStatus", "fileDisplayName", "agentVersion", "agentMachineType", "siteId",
		"siteName", "agentComputerName", "filePath", "contentHash", "collectionId", "classification", "createdDate",
		"cloudAccount", "cloudImage", "cloudInstanceId", "cloudInstanceSize", "cloudLocation", "cloudNetwork",
	}
)

// params is every query parameter of the endpoint, by name.
var params = sortedParams(
	param{name: "accountIds", max: paramMaxScopes, item: idItem},
	param{name: "siteIds", max: paramMaxScopes, item: idItem},
	param{name: "groupIds", max: paramMaxScopes, item: idItem, live: "agents move between groups"},
	param{name: "ids", max: paramMaxItems, item: idItem},
	param{name: "agentIds", max: paramMaxItems, item: idItem},
	param{name: "collectionIds", max: paramMaxItems, item: idItem},
	param{name: "tenant", kind: kindBool},

	param{name: "createdAt__gt", kind: kindTime},
	param{name: "createdAt__gte", kind: kindTime},
	param{name: "createdAt__lt", kind: kindTime},
	param{name: "createdAt__lte", kind: kindTime},

	param{name: "incidentStatuses", max: paramMaxItems, enum: enumStatuses},
	param{name: "incidentStatusesNin", max: paramMaxItems, enum: enumStatuses},
	param{name: "analystVerdicts", max: paramMaxItems, enum: enumVerdicts},
	param{name: "analystVerdictsNin", max: paramMaxItems, enum: enumVerdicts},
	param{name: "mitigationStatuses", max: paramMaxItems, enum: enumMitigations},
	param{name: "mitigationStatusesNin", max: paramMaxItems, enum: enumMitigations},
	param{name: "confidenceLevels", max: paramMaxItems, enum: enumConfidences},
	param{name: "confidenceLevelsNin", max: paramMaxItems, enum: enumConfidences},
	param{name: "classifications", max: paramMaxItems},
	param{name: "classificationsNin", max: paramMaxItems},
	param{name: "classificationSources", max: paramMaxItems, enum: enumClassifiers},
	param{name: "classificationSourcesNin", max: paramMaxItems, enum: enumClassifiers},
	param{name: "detectionEngines", max: paramMaxItems, enum: enumEngines},
	param{name: "detectionEnginesNin", max: paramMaxItems, enum: enumEngines},
	param{name: "engines", max: paramMaxItems, enum: enumEngines},
	param{name: "enginesNin", max: paramMaxItems, enum: enumEngines},
	param{name: "initiatedBy", max: paramMaxItems, enum: enumInitiators},
	param{name: "initiatedByNin", max: paramMaxItems, enum: enumInitiators},
	param{name: "initiatedByUsername__contains", max: paramMaxWords, item: wordItem},
	param{name: "resolved", kind: kindBool},
	param{name: "mitigatedPreemptively", kind: kindBool},
	param{name: "failedActions", kind: kindBool, live: liveAction},
	param{name: "pendingActions", kind: kindBool, live: liveAction},
	param{name: "noteExists", kind: kindBool, live: liveTicket},
	param{name: "externalTicketExists", kind: kindBool, live: liveTicket},
	param{name: "externalTicketIds", max: paramMaxItems, live: liveTicket},
	param{name: "externalTicketId__contains", max: paramMaxWords, item: wordItem, live: liveTicket},

	param{name: "displayName", kind: kindText},
	param{name: "query", kind: kindText, live: liveQuery},
	param{name: "countsFor", kind: kindText},
	param{name: "threatDetails__contains", max: paramMaxWords, item: wordItem},
	param{name: "contentHashes", max: paramMaxItems, item: sha1Item},
	param{name: "contentHash__contains", max: paramMaxWords, item: wordItem},
	param{name: "filePath__contains", max: paramMaxWords, item: wordItem},
	param{name: "commandLineArguments__contains", max: paramMaxWords, item: wordItem},
	param{name: "originatedProcess__contains", max: paramMaxWords, item: wordItem},
	param{name: "publisherName__contains", max: paramMaxWords, item: wordItem},
	param{name: "signerIdentity__contains", max: paramMaxItems}, // newer than the published limits
	param{name: "storylines", max: paramMaxItems},
	param{name: "storyline__contains", max: paramMaxWords, item: wordItem},

	param{name: "agentIsActive", kind: kindBool, live: liveAgent},
	param{name: "agentMachineTypes", max: paramMaxItems, enum: enumMachineTypes, live: liveAgent},
	param{name: "agentMachineTypesNin", max: paramMaxItems, enum: enumMachineTypes, live: liveAgent},
	param{name: "agentTagsData", kind: kindJSON, live: liveAgent},
	param{name: "agentVersions", max: paramMaxItems, live: liveAgent},
	param{name: "agentVersionsNin", max: paramMaxItems, live: liveAgent},
	param{name: "computerName__contains", max: paramMaxWords, item: wordItem, live: liveAgent},
	param{name: "detectionAgentDomain__contains", max: paramMaxWords, item: wordItem},
	param{name: "detectionAgentVersion__contains", max: paramMaxWords, item: wordItem},
	param{name: "hasAgentTags", kind: kindBool, live: liveAgent},
	param{name: "osArchs", max: paramMaxItems, enum: enumOSArchs, live: liveAgent},
	param{name: "osNames", max: paramMaxWords, item: wordItem, live: liveAgent},
	param{name: "osNamesNin", max: paramMaxWords, item: wordItem, live: liveAgent},
	param{name: "osTypes", max: paramMaxItems, enum: enumOSTypes, live: liveAgent},
	param{name: "osTypesNin", max: paramMaxItems, enum: enumOSTypes, live: liveAgent},
	param{name: "realtimeAgentVersion__contains", max: paramMaxWords, item: wordItem, live: liveAgent},
	param{name: "rebootRequired", kind: kindBool, live: liveAgent},
	param{name: "uuid__contains", max: paramMaxWords, item: wordItem},

	param{name: "awsRole__contains", max: paramMaxClouds, item: wordItem},
	param{name: "awsSecurityGroups__contains", max: paramMaxClouds, item: wordItem},
	param{name: "awsSubnetIds__contains", max: paramMaxClouds, item: wordItem},
	param{name: "azureResourceGroup__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudAccount__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudImage__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudInstanceId__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudInstanceSize__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudLocation__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudNetwork__contains", max: paramMaxClouds, item: wordItem},
	param{name: "cloudProvider", max: paramMaxItems},
	param{name: "cloudProviderNin", max: paramMaxItems},
	param{name: "gcpServiceAccount__contains", max: paramMaxClouds, item: wordItem},
	param{name: "containerImageName__contains", max: paramMaxWords, item: wordItem},
	param{name: "containerLabels__contains", max: paramMaxWords, item: wordItem},
	param{name: "containerName__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sClusterName__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sControllerLabels__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sControllerName__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sNamespaceLabels__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sNamespaceName__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sNodeLabels__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sNodeName__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sPodLabels__contains", max: paramMaxWords, item: wordItem},
	param{name: "k8sPodName__contains", max: paramMaxWords, item: wordItem},

	param{name: "cursor", kind: kindText, own: "the walk pages by it"},
	param{name: "limit", kind: kindInt, min: 1, max: paramMaxLimit, own: "it is the page_size of the source"},
	param{name: "skip", kind: kindInt, max: paramMaxLimit, own: "paging by it loses threats; the walk pages by cursor"},
	param{name: "skipCount", kind: kindBool, own: "the walk sets it"},
	param{name: "countOnly", kind: kindBool, own: "an answer would hold no threats"},
	param{name: "sortBy", kind: kindText, enum: enumSortKeys, own: "the walk must read by updatedAt"},
	param{name: "sortOrder", kind: kindText, enum: []string{"asc", "desc"}, own: "the walk must read the oldest change first"},
	param{name: "updatedAt__gt", kind: kindTime, own: "the walk reads from its frontier; set start instead"},
	param{name: "updatedAt__gte", kind: kindTime, own: "the walk reads from its frontier; set start instead"},
	param{name: "updatedAt__lt", kind: kindTime, own: "the walk reads up to the present"},
	param{name: "updatedAt__lte", kind: kindTime, own: "the walk reads up to the present"},
)

func sortedParams(ps ...param) []param {
	slices.SortFunc(ps, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return ps
}

// lookupParam finds a parameter by its name in the API, which minds case.
func lookupParam(name string) (param, bool) {
	i, ok := slices.BinarySearchFunc(params, name, func(p param, name string) int { return strings.Compare(p.name, name) })
	if !ok {
		return param{}, false
	}
	return params[i], true
}

// ParamNames returns the name of every query parameter of the endpoint, sorted.
func ParamNames() []string { return paramNames(func(param) bool { return true }) }

// FilterNames returns the names that a filter may set: those that are not the walk's own, sorted.
func FilterNames() []string { return paramNames(func(p param) bool { return p.own == "" }) }

// ParamValues returns the values that a parameter takes, or nil where any text will do.
func ParamValues(name string) []string {
	p, ok := lookupParam(name)
	switch {
	case ok && p.kind == kindBool:
		return []string{"true", "false"}
	case ok:
		return slices.Clone(p.enum)
	}
	return nil
}

func paramNames(keep func(param) bool) []string {
	var out []string
	for _, p := range params {
		if keep(p) {
			out = append(out, p.name)
		}
	}
	return out
}
