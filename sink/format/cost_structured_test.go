package format

import (
	"encoding/json"
	"strings"
	"testing"

	"s1stream/internal/event"
)

// The obvious way to ECS and OCSF: encoding/json into a struct of the threat, a map of what is meant, marshal.
// It makes the larger part of a record, not all of it: what is left out would make it slower still.

func obviousECS(ev *event.Event) []byte {
	t := wholeRead(ev)
	i, r, d := &t.ThreatInfo, &t.AgentRealtimeInfo, &t.AgentDetectionInfo
	var names, techniques, links []string
	for _, in := range t.Indicators {
		for _, tactic := range in.Tactics {
			names = append(names, tactic.Name)
			for _, q := range tactic.Techniques {
				techniques, links = append(techniques, q.Name), append(links, q.Link)
			}
		}
	}
	hash := map[string]any{"md5": i.Md5, "sha1": i.Sha1, "sha256": i.Sha256}
	file := map[string]any{"path": i.FilePath, "name": i.ThreatName, "extension": i.FileExtension, "size": i.FileSize, "hash": hash}
	return obviousMarshal(map[string]any{
		"@timestamp":  ev.UpdatedAt,
		"ecs":         map[string]any{"version": "9.4.0"},
		"data_stream": map[string]any{"type": "logs", "dataset": "sentinel_one.threat", "namespace": "default"},
		"event": map[string]any{"kind": "alert", "module": "sentinel_one", "dataset": "sentinel_one.threat", "provider": "SentinelOne", "id": ev.ID,
			"category": []string{"malware"}, "type": []string{"info"}, "action": "threat-created", "severity": 90, "start": i.IdentifiedAt, "created": i.CreatedAt},
		"message": "Threat Detected: " + i.ThreatName + " (" + i.ConfidenceLevel + ")",
		"host": map[string]any{"name": r.AgentComputerName, "id": r.AgentId, "domain": r.AgentDomain, "ip": strings.Split(d.AgentIpV4+","+d.AgentIpV6, ","),
			"os": map[string]any{"name": r.AgentOsName, "type": r.AgentOsType, "version": r.AgentOsRevision}, "type": r.AgentMachineType},
		"user":         map[string]any{"name": d.AgentLastLoggedInUserName, "email": d.AgentLastLoggedInUserMail},
		"group":        map[string]any{"id": r.GroupId, "name": r.GroupName},
		"organization": map[string]any{"id": r.AccountId, "name": r.AccountName},
		"process":      map[string]any{"name": i.OriginatorProcess, "command_line": i.MaliciousProcessArguments, "user": map[string]any{"name": i.ProcessUser}},
		"file":         file,
		"threat": map[string]any{"indicator": map[string]any{"type": "file", "file": file}, "tactic": map[string]any{"name": names},
			"technique": map[string]any{"id": techniques, "reference": links}},
		"rule":         map[string]any{"category": i.Classification},
		"related":      map[string]any{"hash": []string{i.Sha1, i.Sha256}, "hosts": []string{r.AgentComputerName}, "user": []string{d.AgentLastLoggedInUserName}},
		"sentinel_one": map[string]any{"threat": t.told()},
	})
}

func obviousOCSF(ev *event.Event) []byte {
	t := wholeRead(ev)
	i, r, d := &t.ThreatInfo, &t.AgentRealtimeInfo, &t.AgentDetectionInfo
	observable := func(name string, id int, kind, value string) any {
		return map[string]any{"name": name, "type_id": id, "type": kind, "value": value}
	}
	file := map[string]any{"name": i.ThreatName, "path": i.FilePath, "size": i.FileSize, "type_id": 1, "type": "Regular File", "hashes": []any{
		map[string]any{"algorithm_id": 3, "algorithm": "SHA-256", "value": i.Sha256}, map[string]any{"algorithm_id": 2, "algorithm": "SHA-1", "value": i.Sha1}}}
	attacks := []any{}
	for _, in := range t.Indicators {
		for _, tactic := range in.Tactics {
			for _, q := range tactic.Techniques {
				attacks = append(attacks, map[string]any{"tactic": map[string]any{"name": tactic.Name}, "technique": map[string]any{"uid": q.Name, "src_url": q.Link}})
			}
		}
	}
	return obviousMarshal(map[string]any{
		"activity_id": 1, "activity_name": "Create", "category_uid": 2, "category_name": "Findings", "class_uid": 2004, "class_name": "Detection Finding",
		"type_uid": 200401, "type_name": "Detection Finding: Create", "severity_id": 4, "severity": "High", "status_id": 1, "time": ev.CreatedAt.UnixMilli(),
		"metadata": map[string]any{"version": "1.8.0", "uid": ev.Version.String(), "profiles": []string{"host", "security_control", "incident"},
			"product": map[string]any{"name": "SentinelOne Singularity", "vendor_name": "SentinelOne", "version": r.AgentVersion}, "original_event_uid": ev.ID},
		"finding_info":  map[string]any{"uid": ev.ID, "title": i.ThreatName, "uid_alt": i.Storyline, "types": []string{i.Classification}, "attacks": attacks, "data_sources": i.Engines},
		"confidence_id": 3, "action_id": 2, "disposition_id": 2, "verdict_id": 0, "is_alert": true, "attacks": attacks,
		"device": map[string]any{"hostname": r.AgentComputerName, "uid": r.AgentId, "domain": r.AgentDomain, "ip": d.AgentIpV4, "type_id": 3,
			"os": map[string]any{"name": r.AgentOsName, "type_id": 100}, "network_interfaces": r.NetworkInterfaces,
			"groups": []any{map[string]any{"uid": r.GroupId, "name": r.GroupName}}, "org": map[string]any{"name": r.AccountName, "ou_name": r.SiteName}},
		"evidences": []any{map[string]any{"file": file, "process": map[string]any{"uid": i.Storyline, "name": i.OriginatorProcess, "cmd_line": i.MaliciousProcessArguments},
			"user": map[string]any{"name": d.AgentLastLoggedInUserName}}},
		"malware": []any{map[string]any{"name": i.ThreatName, "classification_ids": []int{18}, "files": []any{file}}},
		"observables": []any{observable("hash", 8, "Hash", i.Sha256), observable("hash", 8, "Hash", i.Sha1), observable("name", 7, "File Name", i.ThreatName),
			observable("path", 45, "File Path", i.FilePath), observable("user", 4, "User Name", d.AgentLastLoggedInUserName),
			observable("host", 1, "Hostname", r.AgentComputerName), observable("ip", 2, "IP Address", d.AgentIpV4)},
		"unmapped": t.told(),
	})
}

func wholeRead(ev *event.Event) *wholeThreat {
	t := new(wholeThreat)
	// What is of another type stays absent, and encoding/json reads on.
	_ = json.Unmarshal(ev.Raw, t)
	return t
}

func obviousMarshal(doc map[string]any) []byte {
	prune(doc)
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err) // strings, numbers and maps of them can be marshalled
	}
	return body
}

// prune leaves out what is null or empty, at any depth.
func prune(v any) (empty bool) {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case *int64:
		return v == nil
	case map[string]any:
		for k, e := range v {
			if prune(e) {
				delete(v, k)
			}
		}
		return len(v) == 0
	}
	return false
}

func BenchmarkECS(b *testing.B) {
	benchmarkPairs(b, structured(b)["ecs"], obviousECS)
}

func BenchmarkOCSF(b *testing.B) {
	benchmarkPairs(b, structured(b)["ocsf"], obviousOCSF)
}

// leastAllocations is how many f makes at its best of five measurements: under -race a sync.Pool forgets a quarter of
// what it is given, at random, and what is forgotten is allocated anew.
func leastAllocations(f func()) float64 {
	least := testing.AllocsPerRun(20, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(20, f))
	}
	return least
}

func TestStructured_CostTenAllocationsAThreatAtMost(t *testing.T) {
	formats := structured(t)
	for name, obvious := range map[string]func(*event.Event) []byte{"ecs": obviousECS, "ocsf": obviousOCSF} {
		for _, ev := range append(samples(t), ordinary(t)) {
			ours := leastAllocations(func() {
				if _, _, err := formats[name](nil, ev, 0); err != nil {
					t.Fatal(err)
				}
			})
			theirs := testing.AllocsPerRun(20, func() { obvious(ev) })
			// Time on a shared machine proves nothing in a test: BenchmarkECS and BenchmarkOCSF show it.
			if ours > 10 || ours*4 > theirs {
				t.Errorf("%s: %.0f allocations for %s, %.0f the obvious way", name, ours, ev.ID, theirs)
			}
		}
	}
}
