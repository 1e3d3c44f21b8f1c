package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

// threatFields are the fields of a Threat by the console's names, as texts.
var threatFields = map[string]func(t *Threat) string{
	"threatInfo.threatId":                          func(t *Threat) string { return string(t.Info.ThreatID) },
	"threatInfo.threatName":                        func(t *Threat) string { return string(t.Info.Name) },
	"threatInfo.createdAt":                         func(t *Threat) string { return string(t.Info.CreatedAt) },
	"threatInfo.updatedAt":                         func(t *Threat) string { return string(t.Info.UpdatedAt) },
	"threatInfo.identifiedAt":                      func(t *Threat) string { return string(t.Info.IdentifiedAt) },
	"threatInfo.analystVerdict":                    func(t *Threat) string { return string(t.Info.Verdict) },
	"threatInfo.analystVerdictDescription":         func(t *Threat) string { return string(t.Info.VerdictDescription) },
	"threatInfo.incidentStatus":                    func(t *Threat) string { return string(t.Info.Incident) },
	"threatInfo.incidentStatusDescription":         func(t *Threat) string { return string(t.Info.IncidentDescription) },
	"threatInfo.mitigationStatus":                  func(t *Threat) string { return string(t.Info.Mitigation) },
	"threatInfo.mitigationStatusDescription":       func(t *Threat) string { return string(t.Info.MitigationDescription) },
	"threatInfo.confidenceLevel":                   func(t *Threat) string { return string(t.Info.Confidence) },
	"threatInfo.classification":                    func(t *Threat) string { return string(t.Info.Classification) },
	"threatInfo.classificationSource":              func(t *Threat) string { return string(t.Info.ClassificationSource) },
	"threatInfo.detectionType":                     func(t *Threat) string { return string(t.Info.DetectionType) },
	"threatInfo.engines":                           func(t *Threat) string { return listText(t.Info.Engines) },
	"threatInfo.initiatedBy":                       func(t *Threat) string { return string(t.Info.InitiatedBy) },
	"threatInfo.initiatedByDescription":            func(t *Threat) string { return string(t.Info.InitiatedByDescription) },
	"threatInfo.initiatingUserId":                  func(t *Threat) string { return string(t.Info.InitiatingUserID) },
	"threatInfo.initiatingUsername":                func(t *Threat) string { return string(t.Info.InitiatingUser) },
	"threatInfo.processUser":                       func(t *Threat) string { return string(t.Info.ProcessUser) },
	"threatInfo.originatorProcess":                 func(t *Threat) string { return string(t.Info.OriginatorProcess) },
	"threatInfo.rootProcessUpn":                    func(t *Threat) string { return string(t.Info.RootProcessUPN) },
	"threatInfo.maliciousProcessArguments":         func(t *Threat) string { return string(t.Info.Arguments) },
	"threatInfo.filePath":                          func(t *Threat) string { return string(t.Info.FilePath) },
	"threatInfo.fileExtension":                     func(t *Threat) string { return string(t.Info.FileExtension) },
	"threatInfo.fileExtensionType":                 func(t *Threat) string { return string(t.Info.FileExtensionType) },
	"threatInfo.fileVerificationType":              func(t *Threat) string { return string(t.Info.FileVerification) },
	"threatInfo.publisherName":                     func(t *Threat) string { return string(t.Info.Publisher) },
	"threatInfo.certificateId":                     func(t *Threat) string { return string(t.Info.CertificateID) },
	"threatInfo.md5":                               func(t *Threat) string { return string(t.Info.MD5) },
	"threatInfo.sha1":                              func(t *Threat) string { return string(t.Info.SHA1) },
	"threatInfo.sha256":                            func(t *Threat) string { return string(t.Info.SHA256) },
	"threatInfo.cloudFilesHashVerdict":             func(t *Threat) string { return string(t.Info.CloudVerdict) },
	"threatInfo.collectionId":                      func(t *Threat) string { return string(t.Info.CollectionID) },
	"threatInfo.storyline":                         func(t *Threat) string { return string(t.Info.Storyline) },
	"threatInfo.browserType":                       func(t *Threat) string { return string(t.Info.BrowserType) },
	"threatInfo.externalTicketId":                  func(t *Threat) string { return string(t.Info.TicketID) },
	"threatInfo.fileSize":                          func(t *Threat) string { return string(t.Info.FileSize) },
	"threatInfo.isValidCertificate":                func(t *Threat) string { return flagText(t.Info.ValidCertificate) },
	"threatInfo.isFileless":                        func(t *Threat) string { return flagText(t.Info.Fileless) },
	"threatInfo.externalTicketExists":              func(t *Threat) string { return flagText(t.Info.TicketExists) },
	"threatInfo.failedActions":                     func(t *Threat) string { return flagText(t.Info.FailedActions) },
	"threatInfo.pendingActions":                    func(t *Threat) string { return flagText(t.Info.PendingActions) },
	"threatInfo.rebootRequired":                    func(t *Threat) string { return flagText(t.Info.RebootRequired) },
	"threatInfo.mitigatedPreemptively":             func(t *Threat) string { return flagText(t.Info.MitigatedPreemptively) },
	"threatInfo.automaticallyResolved":             func(t *Threat) string { return flagText(t.Info.AutomaticallyResolved) },
	"threatInfo.reachedEventsLimit":                func(t *Threat) string { return flagText(t.Info.ReachedEventsLimit) },
	"agentDetectionInfo.accountId":                 func(t *Threat) string { return string(t.Detection.AccountID) },
	"agentDetectionInfo.accountName":               func(t *Threat) string { return string(t.Detection.AccountName) },
	"agentDetectionInfo.siteId":                    func(t *Threat) string { return string(t.Detection.SiteID) },
	"agentDetectionInfo.siteName":                  func(t *Threat) string { return string(t.Detection.SiteName) },
	"agentDetectionInfo.groupId":                   func(t *Threat) string { return string(t.Detection.GroupID) },
	"agentDetectionInfo.groupName":                 func(t *Threat) string { return string(t.Detection.GroupName) },
	"agentDetectionInfo.agentUuid":                 func(t *Threat) string { return string(t.Detection.UUID) },
	"agentDetectionInfo.agentVersion":              func(t *Threat) string { return string(t.Detection.Version) },
	"agentDetectionInfo.agentDomain":               func(t *Threat) string { return string(t.Detection.Domain) },
	"agentDetectionInfo.agentOsName":               func(t *Threat) string { return string(t.Detection.OSName) },
	"agentDetectionInfo.agentOsRevision":           func(t *Threat) string { return string(t.Detection.OSRevision) },
	"agentDetectionInfo.agentDetectionState":       func(t *Threat) string { return string(t.Detection.State) },
	"agentDetectionInfo.assetVersion":              func(t *Threat) string { return string(t.Detection.AssetVersion) },
	"agentDetectionInfo.externalIp":                func(t *Threat) string { return string(t.Detection.ExternalIP) },
	"agentDetectionInfo.agentRegisteredAt":         func(t *Threat) string { return string(t.Detection.RegisteredAt) },
	"agentDetectionInfo.agentMitigationMode":       func(t *Threat) string { return string(t.Detection.MitigationMode) },
	"agentDetectionInfo.agentLastLoggedInUserName": func(t *Threat) string { return string(t.Detection.UserName) },
	"agentDetectionInfo.agentLastLoggedInUpn":      func(t *Threat) string { return string(t.Detection.UserUPN) },
	"agentDetectionInfo.agentLastLoggedInUserMail": func(t *Threat) string { return string(t.Detection.UserMail) },
	"agentRealtimeInfo.accountId":                  func(t *Threat) string { return string(t.Realtime.AccountID) },
	"agentRealtimeInfo.accountName":                func(t *Threat) string { return string(t.Realtime.AccountName) },
	"agentRealtimeInfo.siteId":                     func(t *Threat) string { return string(t.Realtime.SiteID) },
	"agentRealtimeInfo.siteName":                   func(t *Threat) string { return string(t.Realtime.SiteName) },
	"agentRealtimeInfo.groupId":                    func(t *Threat) string { return string(t.Realtime.GroupID) },
	"agentRealtimeInfo.groupName":                  func(t *Threat) string { return string(t.Realtime.GroupName) },
	"agentRealtimeInfo.agentId":                    func(t *Threat) string { return string(t.Realtime.AgentID) },
	"agentRealtimeInfo.agentUuid":                  func(t *Threat) string { return string(t.Realtime.UUID) },
	"agentRealtimeInfo.agentVersion":               func(t *Threat) string { return string(t.Realtime.Version) },
	"agentRealtimeInfo.agentComputerName":          func(t *Threat) string { return string(t.Realtime.ComputerName) },
	"agentRealtimeInfo.agentDomain":                func(t *Threat) string { return string(t.Realtime.Domain) },
	"agentRealtimeInfo.agentOsName":                func(t *Threat) string { return string(t.Realtime.OSName) },
	"agentRealtimeInfo.agentOsType":                func(t *Threat) string { return string(t.Realtime.OSType) },
	"agentRealtimeInfo.agentOsRevision":            func(t *Threat) string { return string(t.Realtime.OSRevision) },
	"agentRealtimeInfo.agentMachineType":           func(t *Threat) string { return string(t.Realtime.MachineType) },
	"agentRealtimeInfo.agentMitigationMode":        func(t *Threat) string { return string(t.Realtime.MitigationMode) },
	"agentRealtimeInfo.agentNetworkStatus":         func(t *Threat) string { return string(t.Realtime.NetworkStatus) },
	"agentRealtimeInfo.operationalState":           func(t *Threat) string { return string(t.Realtime.OperationalState) },
	"agentRealtimeInfo.scanStatus":                 func(t *Threat) string { return string(t.Realtime.ScanStatus) },
	"agentRealtimeInfo.scanStartedAt":              func(t *Threat) string { return string(t.Realtime.ScanStartedAt) },
	"agentRealtimeInfo.scanFinishedAt":             func(t *Threat) string { return string(t.Realtime.ScanFinishedAt) },
	"agentRealtimeInfo.scanAbortedAt":              func(t *Threat) string { return string(t.Realtime.ScanAbortedAt) },
	"agentRealtimeInfo.storageName":                func(t *Threat) string { return string(t.Realtime.StorageName) },
	"agentRealtimeInfo.storageType":                func(t *Threat) string { return string(t.Realtime.StorageType) },
	"agentRealtimeInfo.agentDecommissionedAt":      func(t *Threat) string { return string(t.Realtime.DecommissionedAt) },
	"agentRealtimeInfo.activeThreats":              func(t *Threat) string { return string(t.Realtime.ActiveThreats) },
	"agentRealtimeInfo.userActionsNeeded":          func(t *Threat) string { return listText(t.Realtime.ActionsNeeded) },
	"agentRealtimeInfo.agentIsActive":              func(t *Threat) string { return flagText(t.Realtime.Active) },
	"agentRealtimeInfo.agentInfected":              func(t *Threat) string { return flagText(t.Realtime.Infected) },
	"agentRealtimeInfo.agentIsDecommissioned":      func(t *Threat) string { return flagText(t.Realtime.Decommissioned) },
	"agentRealtimeInfo.rebootRequired":             func(t *Threat) string { return flagText(t.Realtime.RebootRequired) },
	"containerInfo.id":                             func(t *Threat) string { return string(t.Container.ID) },
	"containerInfo.name":                           func(t *Threat) string { return string(t.Container.Name) },
	"containerInfo.image":                          func(t *Threat) string { return string(t.Container.Image) },
	"containerInfo.labels":                         func(t *Threat) string { return listText(t.Container.Labels) },
	"containerInfo.isContainerQuarantine":          func(t *Threat) string { return flagText(t.Container.Quarantine) },
	"kubernetesInfo.cluster":                       func(t *Threat) string { return string(t.Kubernetes.Cluster) },
	"kubernetesInfo.namespace":                     func(t *Threat) string { return string(t.Kubernetes.Namespace) },
	"kubernetesInfo.node":                          func(t *Threat) string { return string(t.Kubernetes.Node) },
	"kubernetesInfo.pod":                           func(t *Threat) string { return string(t.Kubernetes.Pod) },
	"kubernetesInfo.controllerKind":                func(t *Threat) string { return string(t.Kubernetes.ControllerKind) },
	"kubernetesInfo.controllerName":                func(t *Threat) string { return string(t.Kubernetes.ControllerName) },
	"kubernetesInfo.controllerLabels":              func(t *Threat) string { return listText(t.Kubernetes.ControllerLabels) },
	"kubernetesInfo.namespaceLabels":               func(t *Threat) string { return listText(t.Kubernetes.NamespaceLabels) },
	"kubernetesInfo.nodeLabels":                    func(t *Threat) string { return listText(t.Kubernetes.NodeLabels) },
	"kubernetesInfo.podLabels":                     func(t *Threat) string { return listText(t.Kubernetes.PodLabels) },
	"kubernetesInfo.isContainerQuarantine":         func(t *Threat) string { return flagText(t.Kubernetes.Quarantine) },
	"ecsInfo.clusterName":                          func(t *Threat) string { return string(t.ECS.ClusterName) },
	"ecsInfo.serviceArn":                           func(t *Threat) string { return string(t.ECS.ServiceARN) },
	"ecsInfo.serviceName":                          func(t *Threat) string { return string(t.ECS.ServiceName) },
	"ecsInfo.taskArn":                              func(t *Threat) string { return string(t.ECS.TaskARN) },
	"ecsInfo.taskAvailabilityZone":                 func(t *Threat) string { return string(t.ECS.TaskZone) },
	"ecsInfo.taskDefinitionArn":                    func(t *Threat) string { return string(t.ECS.TaskDefinition) },
	"ecsInfo.taskDefinitionFamily":                 func(t *Threat) string { return string(t.ECS.TaskFamily) },
	"ecsInfo.taskDefinitionRevision":               func(t *Threat) string { return string(t.ECS.TaskRevision) },
	"ecsInfo.type":                                 func(t *Threat) string { return string(t.ECS.Type) },
	"ecsInfo.version":                              func(t *Threat) string { return string(t.ECS.Version) },
}

func flagText(f Flag) string { return [...]string{"", "false", "true"}[f] }

func listText(list [][]byte) string { return string(bytes.Join(list, []byte("\x00"))) }

// TestParse_ReadsEveryFieldAsEncodingJSONDoes holds each field of each threat of the corpus against encoding/json.
func TestParse_ReadsEveryFieldAsEncodingJSONDoes(t *testing.T) {
	flags := map[string]bool{
		"threatInfo.isValidCertificate": true, "threatInfo.isFileless": true, "threatInfo.externalTicketExists": true, "threatInfo.failedActions": true, "threatInfo.pendingActions": true, "threatInfo.rebootRequired": true, "threatInfo.mitigatedPreemptively": true, "threatInfo.automaticallyResolved": true, "threatInfo.reachedEventsLimit": true, "agentRealtimeInfo.agentIsActive": true, "agentRealtimeInfo.agentInfected": true, "agentRealtimeInfo.agentIsDecommissioned": true, "agentRealtimeInfo.rebootRequired": true, "containerInfo.isContainerQuarantine": true, "kubernetesInfo.isContainerQuarantine": true,
	}
	lists := map[string]bool{
		"threatInfo.engines": true, "agentRealtimeInfo.userActionsNeeded": true, "containerInfo.labels": true, "kubernetesInfo.controllerLabels": true, "kubernetesInfo.namespaceLabels": true, "kubernetesInfo.nodeLabels": true, "kubernetesInfo.podLabels": true,
	}
	numbers := map[string]bool{"threatInfo.fileSize": true, "agentRealtimeInfo.activeThreats": true}
	for c := range corpus.Threats(4, 700) {
		d := json.NewDecoder(bytes.NewReader(c.Event.Raw))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		threat, err := Parse(&c.Event)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		for path, get := range threatFields {
			part, key, _ := strings.Cut(path, ".")
			object, _ := want[part].(map[string]any)
			text := ""
			switch v := object[key].(type) {
			case string:
				if !flags[path] && !lists[path] && !numbers[path] {
					text = v
				}
			case json.Number:
				if numbers[path] {
					text = v.String()
				}
			case bool:
				if flags[path] {
					text = fmt.Sprint(v)
				}
			case []any:
				if lists[path] {
					var list []string
					for _, one := range v {
						if s, _ := one.(string); s != "" {
							list = append(list, s)
						}
					}
					text = strings.Join(list, "\x00")
				}
			}
			if got := get(threat); got != text {
				t.Fatalf("%s: %s is %q, want %q", c.Name, path, got, text)
			}
		}
		threat.Release()
	}
}

func TestParse_ReadsListsWithinLists(t *testing.T) {
	threat, err := Parse(&event.Event{ID: "7", Raw: []byte(`{
		"indicators":[{"category":"A","ids":[1,"x",2],"tactics":[{"name":"Persistence","source":"MITRE","techniques":[{"name":"T1053.005","link":"l"},{"name":"T1543"}]},{"name":"Execution"}]},
			null,{"category":"B","tactics":[{"techniques":[{"name":"T1"}]}]}],
		"mitigationStatus":[{"action":"kill","status":"success","actionsCounters":{"total":2,"failed":0},"groupNotFound":true},{"action":"quarantine","actionsCounters":null}],
		"whiteningOptions":["hash","","path"],
		"agentDetectionInfo":{"agentIpV4":" 10.0.0.1, ,10.0.0.2,","cloudProviders":{"AWS":{"cloudAccount":"1","cloudTags":["a","b"]},"GCP":{"cloudAccount":"2"}}},
		"agentRealtimeInfo":{"networkInterfaces":[{"name":"e0","inet":["10.0.0.1","10.0.0.2"],"inet6":["::1"]},{"name":"e1","inet":[]}]},
		"threatInfo":{"detectionEngines":[{"key":"k","title":"t\u00e9"},{}],"macroModules":[{"sha1":"s"}]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer threat.Release()
	list := func(texts ...string) (out [][]byte) {
		for _, s := range texts {
			out = append(out, []byte(s))
		}
		return out
	}
	b := func(s string) []byte { return []byte(s) }
	for name, pair := range map[string][2]any{
		"indicators": {[]Indicator{
			{Category: b("A"), IDs: list("1", "2"), Tactics: []Tactic{
				{Name: b("Persistence"), Source: b("MITRE"), Techniques: []Technique{{ID: b("T1053.005"), Link: b("l")}, {ID: b("T1543")}}},
				{Name: b("Execution")},
			}},
			{},
			{Category: b("B"), Tactics: []Tactic{{Techniques: []Technique{{ID: b("T1")}}}}},
		}, threat.Indicators},
		"mitigations": {[]Mitigation{
			{Action: b("kill"), Status: b("success"), Total: b("2"), Failed: b("0"), GroupNotFound: True}, {Action: b("quarantine")},
		}, threat.Mitigations},
		"whitening":  {list("hash", "path"), threat.Whitening},
		"addresses":  {list("10.0.0.1", "10.0.0.2"), threat.Detection.IPv4},
		"cloud":      {Cloud{Provider: b("AWS"), Account: b("1"), Tags: list("a", "b")}, threat.Detection.Cloud},
		"interfaces": {[]Interface{{Name: b("e0"), IPv4: list("10.0.0.1", "10.0.0.2"), IPv6: list("::1")}, {Name: b("e1")}}, threat.Realtime.Interfaces},
		"engines":    {[]Engine{{Key: b("k"), Title: b("té")}}, threat.Info.DetectionEngines},
		"modules":    {b(`[{"sha1":"s"}]`), threat.Info.Modules},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParse_CountsTheLastOfTwoAndNothingOfTheFirst(t *testing.T) {
	threat, err := Parse(&event.Event{ID: "7", Raw: []byte(`{"threatInfo":{"md5":"a","sha1":"b"},"indicators":[{}],"threatInfo":{"sha1":"c","sha1":null,"engines":["x"],"engines":7},"indicators":null}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer threat.Release()
	if i := threat.Info; i.MD5 != nil || i.SHA1 != nil || i.Engines != nil || threat.Indicators != nil {
		t.Errorf("md5 %q, sha1 %q, engines %q, indicators %v", i.MD5, i.SHA1, i.Engines, threat.Indicators)
	}
}

func TestParse_LeavesNothingOfAThreatToTheNextOne(t *testing.T) {
	first, err := Parse(ordinary(t))
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	for range 100 { // a pool may hand out a new one
		next, err := Parse(&event.Event{ID: "7", Raw: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		for path, get := range threatFields {
			if got := get(next); got != "" {
				t.Fatalf("%s is %q", path, got)
			}
		}
		if len(next.Indicators)+len(next.Mitigations)+len(next.Whitening)+len(next.Realtime.Interfaces)+len(next.Detection.Clouds) != 0 || string(next.ID) != "7" {
			t.Fatalf("something is left: %+v", next)
		}
		next.Release()
	}
}

func TestParse_AViewCannotBeAppendedInto(t *testing.T) {
	ev := ordinary(t)
	before := string(ev.Raw)
	threat, err := Parse(ev)
	if err != nil {
		t.Fatal(err)
	}
	defer threat.Release()
	_ = append(threat.Info.SHA256, "overwritten"...)
	_ = append(threat.Info.FileSize, "overwritten"...)
	if string(ev.Raw) != before {
		t.Error("the event was written to")
	}
}

func TestFacts_OfAThreatAreThoseOfItsJSON(t *testing.T) {
	for c := range corpus.Threats(5, 700) {
		threat, err := Parse(&c.Event)
		if err != nil {
			t.Fatal(err)
		}
		got, want := threat.Facts(), FactsOf(c.Event.Raw)
		if got.Severity() != want.Severity() || got.Activity(&c.Event) != want.Activity(&c.Event) {
			t.Fatalf("%s: %+v, want %+v", c.Name, got, want)
		}
		threat.Release()
	}
}

func TestMoment_IsOfRFC3339(t *testing.T) {
	if at, ok := Moment([]byte("2026-11-21T13:06:44.908771Z")); !ok || !at.Equal(time.Date(2026, 11, 21, 13, 6, 44, 908771000, time.UTC)) {
		t.Errorf("%v, %v", at, ok)
	}
	for _, text := range []string{"", "2026-11-21", "2026-11-21T13:06:44", "true"} {
		if at, ok := Moment([]byte(text)); ok {
			t.Errorf("%q: %v", text, at)
		}
	}
}

func TestInteger_IsWholeAndFits(t *testing.T) {
	for number, want := range map[string]int64{"0": 0, "-1": -1, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
		if n, ok := Integer([]byte(number)); !ok || n != want {
			t.Errorf("%s: %d, %v", number, n, ok)
		}
	}
	for _, number := range []string{"", "1.5", "1e3", "9223372036854775808", "x"} {
		if n, ok := Integer([]byte(number)); ok {
			t.Errorf("%q: %d", number, n)
		}
	}
}
