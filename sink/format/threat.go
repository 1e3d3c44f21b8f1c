package format

import (
	"strconv"
	"time"
)

// Threat is what the formats take from a threat's own JSON. A text is decoded: no escapes, valid UTF-8. It is a
// view of Event.Raw where that has no escape in it, so it must be read only, and not after Release. Null, "",
// and a value of another type than the console's are all the same: absent, which is nil (Flag: Unset).
//
// A number is as it is written in JSON; Integer reads it. A moment is a text; Moment reads it.
type Threat struct {
	ID          []byte // the event's: where the threat has no id, a hash
	Info        Info
	Detection   Detection
	Realtime    Realtime
	Indicators  []Indicator
	Mitigations []Mitigation // the list mitigationStatus, newest first; Info.Mitigation is the word
	Container   Container
	Kubernetes  Kubernetes
	ECS         ECS      // Amazon's container service, not Elastic's schema
	Whitening   [][]byte // whiteningOptions

	scratch scratch
}

// Flag is a boolean of the console's.
type Flag uint8

// A flag's values.
const (
	Unset Flag = iota
	False
	True
)

// Info is threatInfo.
type Info struct {
	ThreatID, Name                                 []byte
	CreatedAt, UpdatedAt, IdentifiedAt             []byte // RFC 3339
	Verdict, VerdictDescription                    []byte // analystVerdict
	Incident, IncidentDescription                  []byte // incidentStatus
	Mitigation, MitigationDescription              []byte // mitigationStatus, the word
	Confidence                                     []byte // confidenceLevel
	Classification, ClassificationSource           []byte
	DetectionType                                  []byte
	Engines                                        [][]byte // titles, the console's older list
	DetectionEngines                               []Engine
	InitiatedBy, InitiatedByDescription            []byte
	InitiatingUserID, InitiatingUser               []byte
	ProcessUser, OriginatorProcess, RootProcessUPN []byte
	Arguments                                      []byte // maliciousProcessArguments
	FilePath, FileExtension, FileExtensionType     []byte
	FileVerification, Publisher, CertificateID     []byte // fileVerificationType, publisherName
	MD5, SHA1, SHA256                              []byte
	CloudVerdict                                   []byte // cloudFilesHashVerdict
	CollectionID, Storyline, BrowserType, TicketID []byte // TicketID: externalTicketId
	FileSize                                       []byte // number, in bytes
	Modules                                        []byte // macroModules: its JSON, an array
	ValidCertificate, Fileless, TicketExists       Flag
	FailedActions, PendingActions, RebootRequired  Flag
	MitigatedPreemptively, AutomaticallyResolved   Flag
	ReachedEventsLimit                             Flag
}

// Engine is one of detectionEngines.
type Engine struct{ Key, Title []byte }

// Detection is agentDetectionInfo: the agent when it found the threat.
type Detection struct {
	AccountID, AccountName, SiteID, SiteName, GroupID, GroupName   []byte
	UUID, Version, Domain, OSName, OSRevision, State, AssetVersion []byte
	IPv4, IPv6                                                     [][]byte // the comma-joined lists, split, trimmed, not checked
	ExternalIP, RegisteredAt, MitigationMode                       []byte
	UserName, UserUPN, UserMail                                    []byte // of who was last logged in
	Clouds                                                         []byte // cloudProviders: its JSON, an object with members
	Cloud                                                          Cloud  // its first member
}

// Cloud is one member of cloudProviders.
type Cloud struct {
	Provider                                                    []byte // the member's name: AWS, Azure, GCP, …
	Account, Image, InstanceID, InstanceSize, Location, Network []byte
	AWSRole, AzureResourceGroup, GCPServiceAccount              []byte
	Cluster, Namespace, Pod                                     []byte
	Tags, AWSSecurityGroups, AWSSubnets                         [][]byte
}

// Realtime is agentRealtimeInfo: the agent when the console was read.
type Realtime struct {
	AccountID, AccountName, SiteID, SiteName, GroupID, GroupName []byte
	AgentID, UUID, Version, ComputerName, Domain                 []byte
	OSName, OSType, OSRevision, MachineType, MitigationMode      []byte
	NetworkStatus, OperationalState                              []byte
	ScanStatus, ScanStartedAt, ScanFinishedAt, ScanAbortedAt     []byte
	StorageName, StorageType                                     []byte
	DecommissionedAt                                             []byte // where it is a text
	ActiveThreats                                                []byte // number
	Interfaces                                                   []Interface
	ActionsNeeded                                                [][]byte
	Active, Infected, Decommissioned, RebootRequired             Flag
}

// Interface is one of networkInterfaces.
type Interface struct {
	ID, Name, MAC []byte // MAC: physical, as the console writes it
	IPv4, IPv6    [][]byte
}

// Indicator is one of indicators.
type Indicator struct {
	Category, Description []byte
	CategoryID            []byte   // number, of the console's own
	IDs                   [][]byte // numbers of the console's own, no ATT&CK ids
	Tactics               []Tactic
}

// Tactic is one tactic of an indicator.
type Tactic struct {
	Name, Source []byte // Source: MITRE, DEFAULT
	Techniques   []Technique
}

// Technique is one technique of a tactic.
type Technique struct{ ID, Link []byte } // ID: the field name, which holds T1053.005

// Mitigation is a row of the list mitigationStatus.
type Mitigation struct {
	Action, Status, LastUpdate, StartedAt, EndedAt, Report, ReportID []byte // Report: latestReport
	Total, Success, Failed, NotFound, PendingReboot                  []byte // numbers: actionsCounters
	SupportsReport, GroupNotFound                                    Flag
}

// Container is containerInfo.
type Container struct {
	ID, Name, Image []byte
	Labels          [][]byte
	Quarantine      Flag
}

// Kubernetes is kubernetesInfo.
type Kubernetes struct {
	Cluster, Namespace, Node, Pod, ControllerKind, ControllerName []byte
	ControllerLabels, NamespaceLabels, NodeLabels, PodLabels      [][]byte
	Quarantine                                                    Flag
}

// ECS is ecsInfo.
type ECS struct {
	ClusterName, ServiceARN, ServiceName, TaskARN, TaskZone []byte
	TaskDefinition, TaskFamily, TaskRevision, Type, Version []byte
}

// Facts is what severity and activity are decided by.
func (t *Threat) Facts() Facts {
	return Facts{
		Verdict: word(t.Info.Verdict), Mitigation: word(t.Info.Mitigation), Incident: word(t.Info.Incident),
		Confidence: word(t.Info.Confidence), Classification: word(t.Info.Classification),
		FailedActions: t.Info.FailedActions == True,
	}
}

// word is the string of a text, without a copy where it is one of the usual words.
func word(b []byte) string {
	switch string(b) {
	case "malicious":
		return "malicious"
	case "suspicious":
		return "suspicious"
	case "mitigated":
		return "mitigated"
	case "not_mitigated":
		return "not_mitigated"
	case "marked_as_benign":
		return "marked_as_benign"
	case "unresolved":
		return "unresolved"
	case "in_progress":
		return "in_progress"
	case "resolved":
		return "resolved"
	case "undefined":
		return "undefined"
	case "true_positive":
		return "true_positive"
	case "false_positive":
		return "false_positive"
	case "Ransomware":
		return "Ransomware"
	case "Malware":
		return "Malware"
	case "Trojan":
		return "Trojan"
	case "Exploit":
		return "Exploit"
	case "Infostealer":
		return "Infostealer"
	case "PUA":
		return "PUA"
	}
	return string(b)
}

// Moment reads a text as a moment of RFC 3339; ok is false where it is none.
func Moment(text []byte) (at time.Time, ok bool) {
	if len(text) == 0 {
		return at, false
	}
	err := at.UnmarshalText(text)
	return at.UTC(), err == nil
}

// Integer reads a number that is written without fraction and exponent and fits; ok is false where it is none.
func Integer(number []byte) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(number), 10, 64)
	return n, err == nil
}
