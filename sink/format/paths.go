package format

import (
	"fmt"
	"slices"
	"strings"

	"s1stream/internal/nearest"
)

// parts are the members of a threat, and what those of them that are objects hold as far as it is known. The
// console adds fields as it likes, so a path may name others, unless it looks like one of these mistyped.
var parts = map[string][]string{
	"id": nil, "indicators": nil, "mitigationStatus": nil, "whiteningOptions": nil, "containerInfo": nil, "kubernetesInfo": nil, "ecsInfo": nil,
	"threatInfo": {
		"analystVerdict", "analystVerdictDescription", "automaticallyResolved", "browserType", "certificateId", "classification", "classificationSource",
		"cloudFilesHashVerdict", "collectionId", "confidenceLevel", "createdAt", "detectionEngines", "detectionType", "engines", "externalTicketExists",
		"externalTicketId", "failedActions", "fileExtension", "fileExtensionType", "filePath", "fileSize", "fileVerificationType", "identifiedAt",
		"incidentStatus", "incidentStatusDescription", "initiatedBy", "initiatedByDescription", "initiatingUserId", "initiatingUsername", "isFileless",
		"isValidCertificate", "macroModules", "maliciousProcessArguments", "md5", "mitigatedPreemptively", "mitigationStatus",
		"mitigationStatusDescription", "originatorProcess", "pendingActions", "processUser", "publisherName", "reachedEventsLimit", "rebootRequired",
		"rootProcessUpn", "sha1", "sha256", "storyline", "threatId", "threatName", "updatedAt",
	},
	"agentRealtimeInfo": {
		"accountId", "accountName", "activeThreats", "agentComputerName", "agentDecommissionedAt", "agentDomain", "agentId", "agentInfected", "agentIsActive",
		"agentIsDecommissioned", "agentMachineType", "agentMitigationMode", "agentNetworkStatus", "agentOsName", "agentOsRevision", "agentOsType",
		"agentUuid", "agentVersion", "groupId", "groupName", "networkInterfaces", "operationalState", "rebootRequired", "scanAbortedAt",
		"scanFinishedAt", "scanStartedAt", "scanStatus", "siteId", "siteName", "storageName", "storageType", "userActionsNeeded",
	},
	"agentDetectionInfo": {
		"accountId", "accountName", "agentDetectionState", "agentDomain", "agentIpV4", "agentIpV6", "agentLastLoggedInUpn", "agentLastLoggedInUserMail",
		"agentLastLoggedInUserName", "agentMitigationMode", "agentOsName", "agentOsRevision", "agentRegisteredAt", "agentUuid", "agentVersion",
		"assetVersion", "cloudProviders", "externalIp", "groupId", "groupName", "siteId", "siteName",
	},
}

// bareOrder is where a name without a dot is looked for.
var bareOrder = [...]string{"threatInfo", "agentRealtimeInfo", "agentDetectionInfo"}

// FieldNames lists the bare names that fields are known by, those of threatInfo first.
func FieldNames() []string {
	var out []string
	for _, part := range bareOrder {
		for _, name := range parts[part] {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// FieldNamed finds a known field, bare or as a dotted path of two, by its name in any case; "" where there is none.
func FieldNamed(s string) string {
	part, member, dotted := strings.Cut(s, ".")
	if !dotted {
		for _, name := range FieldNames() {
			if strings.EqualFold(name, s) {
				return name
			}
		}
	}
	for top, members := range parts {
		if !strings.EqualFold(top, part) {
			continue
		}
		if !dotted {
			return top
		}
		for _, name := range members {
			if strings.EqualFold(name, member) {
				return top + "." + name
			}
		}
	}
	return ""
}

// fieldPath is the path of a field as somebody wrote it: dotted, or a bare name.
func fieldPath(name string) ([]string, error) {
	if !strings.Contains(name, ".") {
		for _, part := range bareOrder {
			if slices.Contains(parts[part], name) {
				return []string{part, name}, nil
			}
		}
		if _, top := parts[name]; top {
			return []string{name}, nil
		}
		var all []string
		for _, part := range bareOrder {
			all = append(all, parts[part]...)
		}
		return nil, fmt.Errorf("unknown field; the nearest known one is %q; a field that is not known is written as a path, as in \"threatInfo.%s\"", nearest.Of(name, all), name)
	}
	return dottedPath(name)
}

// dottedPath is a path from the top of the threat, checked as far as its fields are known.
func dottedPath(name string) ([]string, error) {
	path := strings.Split(name, ".")
	if slices.Contains(path, "") {
		return nil, fmt.Errorf("must be names with a dot between each two, as in \"threatInfo.processUser\"")
	}
	members, top := parts[path[0]]
	if !top {
		known := make([]string, 0, len(parts))
		for part := range parts {
			known = append(known, part)
		}
		slices.Sort(known)
		return nil, fmt.Errorf("must begin with a member of the threat: %s", strings.Join(known, ", "))
	}
	if len(path) == 1 || members == nil || slices.Contains(members, path[1]) {
		return path, nil
	}
	if like := nearest.Of(path[1], members); mistyped(path[1], like) {
		return nil, fmt.Errorf("unknown field; did you mean %q?", path[0]+"."+like)
	}
	return path, nil
}

// mistyped reports whether two different names are one with a slip of the hand: letters that are alike but for
// case, or for one or two that are changed, missing or too many.
func mistyped(name, like string) bool {
	a, b := strings.ToLower(name), strings.ToLower(like)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 2 && len(b) <= 2
}
