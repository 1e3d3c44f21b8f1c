package console

import (
	"strconv"
	"strings"
)

// The blocks that say nothing on a threat outside a container stand there all the same, all null.
const (
	noContainer  = `"containerInfo":{"id":null,"image":null,"isContainerQuarantine":null,"labels":null,"name":null},`
	noECS        = `"ecsInfo":{"clusterName":null,"serviceArn":null,"serviceName":null,"taskArn":null,"taskAvailabilityZone":null,"taskDefinitionArn":null,"taskDefinitionFamily":null,"taskDefinitionRevision":null,"type":null,"version":null},`
	noKubernetes = `"kubernetesInfo":{"cluster":null,"controllerKind":null,"controllerLabels":null,"controllerName":null,"isContainerQuarantine":null,"namespace":null,"namespaceLabels":null,"node":null,"nodeLabels":null,"pod":null,"podLabels":null},`
)

func (g realistic) append(dst []byte, t *Threat, live uint64) (out []byte, start, end int) {
	n := g.nature(t)
	l := n.luck
	agent := 2_000_000_000_000_000_000 + uint64(n.host)<<32 //nolint:gosec // below 400
	var uuid [16]byte
	seed := luck(agent ^ g.seed)
	seed.fill(uuid[:])

	b := buffer(append(dst, '{'))
	b.detection(&n, t, uuid[:])
	b.key("agentRealtimeInfo")
	start = len(b) - len(dst)
	b.realtime(&n, t, uuid[:], agent, live)
	end = len(b) - len(dst) - 1 // without the comma
	b.raw(noContainer)
	b.raw(noECS)
	b.id("id", t.ID)
	b.indicators(&l)
	b.raw(noKubernetes)
	b.mitigations(t, l.next())
	b.threatInfo(&n, t, &l)
	b.raw(`"whiteningOptions":["hash","path"]}`)
	return b, start, end
}

// detection is how the agent was when it found the threat.
func (b *buffer) detection(n *nature, t *Threat, uuid []byte) {
	host := strconv.Itoa(n.host % 256)
	b.raw(`"agentDetectionInfo":{`)
	b.str("accountId", n.accountID)
	b.str("accountName", n.account)
	b.lit("agentDetectionState", "null")
	b.str("agentDomain", n.domain)
	b.str("agentIpV4", "10.42.17.", host, ",172.20.0.1")
	b.str("agentIpV6", "fe80::5c1e:90ff:fe2b:", host, ",2001:db8:42:17::", host)
	b.str("agentLastLoggedInUpn", n.user, "@", n.mail)
	b.lit("agentLastLoggedInUserMail", "null")
	b.str("agentLastLoggedInUserName", n.user)
	b.str("agentMitigationMode", "protect")
	b.str("agentOsName", n.name)
	b.str("agentOsRevision", n.revision)
	b.at("agentRegisteredAt", t.Created-Stamp(n.host+30)*86_400_000_331)
	b.hex("agentUuid", uuid)
	b.str("agentVersion", "25.1.4.434")
	b.str("assetVersion", "")
	b.lit("cloudProviders", "{}")
	b.str("externalIp", "203.0.113.", host)
	b.str("groupId", n.groupID)
	b.str("groupName", n.group)
	b.str("siteId", n.siteID)
	b.str("siteName", n.site)
	b.close("}")
}

// realtime is how the agent is at the moment of the read: no two reads in a row agree.
func (b *buffer) realtime(n *nature, t *Threat, uuid []byte, agent, live uint64) {
	host := strconv.Itoa(n.host % 256)
	active := (live + t.ID) % 5
	b.raw("{")
	b.str("accountId", n.accountID)
	b.str("accountName", n.account)
	b.num("activeThreats", active)
	b.str("agentComputerName", n.computer())
	b.lit("agentDecommissionedAt", "null")
	b.str("agentDomain", n.domain)
	b.id("agentId", agent)
	b.bool("agentInfected", active > 0)
	b.lit("agentIsActive", "true")
	b.lit("agentIsDecommissioned", "false")
	b.str("agentMachineType", n.machine)
	b.str("agentMitigationMode", "protect")
	b.str("agentNetworkStatus", [...]string{"connected", "connecting"}[live/3%2])
	b.str("agentOsName", n.name)
	b.str("agentOsRevision", n.revision)
	b.str("agentOsType", n.platform.kind)
	b.hex("agentUuid", uuid)
	b.str("agentVersion", "25.1.4.434")
	b.str("groupId", n.groupID)
	b.str("groupName", n.group)
	b.raw(`"networkInterfaces":[{`)
	b.id("id", agent+1)
	b.raw(`"inet":["10.42.17.` + host + `"],"inet6":["fe80::5c1e:90ff:fe2b:` + host + `","2001:db8:42:17::` + host + `"],"name":"Wi-Fi",`)
	b.raw(`"physical":"02:00:5e:10:7a:3c"}],`)
	b.str("operationalState", "na")
	b.lit("rebootRequired", "false")
	b.lit("scanAbortedAt", "null")
	b.at("scanFinishedAt", t.Created-Stamp(n.host+29)*86_400_000_117)
	b.at("scanStartedAt", t.Created-Stamp(n.host+30)*86_400_000_117)
	b.str("scanStatus", "finished")
	b.str("siteId", n.siteID)
	b.str("siteName", n.site)
	b.lit("storageName", "null")
	b.lit("storageType", "null")
	b.lit("userActionsNeeded", "[]")
	b.close("}")
}

func (b *buffer) indicators(l *luck) {
	b.raw(`"indicators":[`)
	first := l.below(len(indicators))
	for i := range 1 + l.below(3) {
		in := &indicators[(first+i*3)%len(indicators)]
		b.raw("{")
		b.str("category", in.category)
		b.str("description", in.description)
		b.lit("ids", "["+in.id+"]")
		if in.tactic == "" {
			b.raw(`"tactics":[]},`)
			continue
		}
		b.raw(`"tactics":[{"name":"` + in.tactic + `","source":"MITRE","techniques":[{"link":"https://attack.mitre.org/techniques/` +
			in.path + `/","name":"` + in.technique + `"}]}]},`)
	}
	b.close("]")
}

// mitigations lists the rows, newest first. What the last shown row has in total counts the rows before it too.
func (b *buffer) mitigations(t *Threat, entropy uint64) {
	b.raw(`"mitigationStatus":[`)
	rows := t.rows()
	for i := len(rows) - 1; i >= 0; i-- {
		at := t.Created + Stamp(rows[i])*1000 + Stamp(entropy%997) //nolint:gosec // below 997
		report := strconv.FormatUint(t.ID+uint64(rows[i])<<8, 10)
		total := uint64(i + 1) //nolint:gosec // i is an index
		if i == len(rows)-1 {
			total = uint64(t.Rows)
		}
		b.raw("{")
		b.str("action", actions[i])
		b.raw(`"actionsCounters":{"failed":0,"notFound":0,"pendingReboot":0,`)
		b.num("success", total)
		b.num("total", total)
		b.close("}")
		b.raw(`"agentSupportsReport":true,"groupNotFound":false,`)
		b.at("lastUpdate", at)
		b.str("latestReport", "/threats/mitigation-report/", report)
		b.at("mitigationEndedAt", at-7_215)
		b.at("mitigationStartedAt", at-38_411)
		b.str("reportId", report)
		b.str("status", "success")
		b.close("}")
	}
	b.close("]")
}

func (b *buffer) threatInfo(n *nature, t *Threat, l *luck) {
	b.raw(`"threatInfo":{`)
	b.str("analystVerdict", t.Verdict.String())
	b.str("analystVerdictDescription", title(t.Verdict.String()))
	b.lit("automaticallyResolved", "false")
	b.lit("browserType", "null")
	b.str("certificateId", "")
	b.str("classification", n.class)
	b.str("classificationSource", n.engine.source)
	b.str("cloudFilesHashVerdict", [...]string{"black", "provider_unknown"}[l.below(2)])
	b.id("collectionId", 2_100_000_000_000_000_000+l.next()>>8)
	b.str("confidenceLevel", n.confidence)
	b.at("createdAt", t.Created)
	b.raw(`"detectionEngines":[{"key":"` + n.engine.key + `","title":"` + n.engine.title + `"}`)
	if n.second != n.engine {
		b.raw(`,{"key":"` + n.second.key + `","title":"` + n.second.title + `"}`)
	}
	b.raw(`],`)
	b.str("detectionType", [...]string{"static", "dynamic"}[l.below(2)])
	b.raw(`"engines":["` + n.engine.old + `"],`)
	b.bool("externalTicketExists", t.Ticket > 0)
	if t.Ticket > 0 {
		b.str("externalTicketId", "SOC-", strconv.FormatUint(uint64(t.Ticket), 10))
	} else {
		b.lit("externalTicketId", "null")
	}
	b.lit("failedActions", "false")
	b.or("fileExtension", n.extension)
	b.str("fileExtensionType", n.sample.kind)
	b.str("filePath", n.home, n.user, n.sep, "Downloads", n.sep, n.file)
	b.num("fileSize", l.next()>>44)
	b.str("fileVerificationType", "NotSigned")
	b.at("identifiedAt", t.Created-Stamp(l.below(3_000_000)))
	b.str("incidentStatus", t.Incident.String())
	b.str("incidentStatusDescription", title(t.Incident.String()))
	b.raw(`"initiatedBy":"agent_policy","initiatedByDescription":"Agent Policy","initiatingUserId":null,"initiatingUsername":null,`)
	b.raw(`"isFileless":false,"isValidCertificate":false,"macroModules":null,`)
	b.str("maliciousProcessArguments", `"`, n.home, n.user, n.sep, n.file, `" `, n.arguments)
	b.lit("md5", "null")
	b.lit("mitigatedPreemptively", "false")
	b.str("mitigationStatus", t.Mitigation.String())
	b.str("mitigationStatusDescription", title(t.Mitigation.String()))
	b.str("originatorProcess", originators[l.below(len(originators))])
	b.lit("pendingActions", "false")
	b.str("processUser", n.domain, `\`, n.user)
	b.raw(`"publisherName":"","reachedEventsLimit":false,"rebootRequired":false,"rootProcessUpn":null,`)
	b.hex("sha1", n.sha1[:])
	var sum [32]byte
	l.fill(sum[:])
	b.hex("sha256", sum[:])
	b.str("storyline", strings.ToUpper(strconv.FormatUint(l.next()|1<<63, 16)))
	b.id("threatId", t.ID)
	b.str("threatName", n.file)
	b.at("updatedAt", t.Updated)
	b.close("}")
}

// title makes the description that the console shows for a value: "in_progress" is "In progress".
func title(s string) string {
	return strings.ToUpper(s[:1]) + strings.ReplaceAll(s[1:], "_", " ")
}
