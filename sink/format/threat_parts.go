package format

import "bytes"

// Where an object stands twice in its parent, the last one counts, and nothing of the first is left.

func (r *reader) threat(t *Threat) error {
	r.s.Space()
	err := r.s.Object(func(key []byte) error {
		switch string(key) {
		case "threatInfo":
			return r.info(&t.Info)
		case "agentDetectionInfo":
			return r.detection(&t.Detection)
		case "agentRealtimeInfo":
			return r.realtime(&t.Realtime)
		case "indicators":
			return r.indicatorList(&t.Indicators)
		case "mitigationStatus":
			return r.mitigationList(&t.Mitigations)
		case "containerInfo":
			return r.container(&t.Container)
		case "kubernetesInfo":
			return r.kubernetes(&t.Kubernetes)
		case "ecsInfo":
			return r.ecs(&t.ECS)
		case "whiteningOptions":
			return r.texts(&t.Whitening)
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	return r.s.End()
}

func (r *reader) info(i *Info) error {
	*i = Info{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "threatId":
			return r.text(&i.ThreatID)
		case "threatName":
			return r.text(&i.Name)
		case "createdAt":
			return r.text(&i.CreatedAt)
		case "updatedAt":
			return r.text(&i.UpdatedAt)
		case "identifiedAt":
			return r.text(&i.IdentifiedAt)
		case "analystVerdict":
			return r.text(&i.Verdict)
		case "analystVerdictDescription":
			return r.text(&i.VerdictDescription)
		case "incidentStatus":
			return r.text(&i.Incident)
		case "incidentStatusDescription":
			return r.text(&i.IncidentDescription)
		case "mitigationStatus":
			return r.text(&i.Mitigation)
		case "mitigationStatusDescription":
			return r.text(&i.MitigationDescription)
		case "confidenceLevel":
			return r.text(&i.Confidence)
		case "classification":
			return r.text(&i.Classification)
		case "classificationSource":
			return r.text(&i.ClassificationSource)
		case "detectionType":
			return r.text(&i.DetectionType)
		case "engines":
			return r.texts(&i.Engines)
		case "detectionEngines":
			return r.engineList(&i.DetectionEngines)
		case "initiatedBy":
			return r.text(&i.InitiatedBy)
		case "initiatedByDescription":
			return r.text(&i.InitiatedByDescription)
		case "initiatingUserId":
			return r.text(&i.InitiatingUserID)
		case "initiatingUsername":
			return r.text(&i.InitiatingUser)
		case "processUser":
			return r.text(&i.ProcessUser)
		case "originatorProcess":
			return r.text(&i.OriginatorProcess)
		case "rootProcessUpn":
			return r.text(&i.RootProcessUPN)
		case "maliciousProcessArguments":
			return r.text(&i.Arguments)
		case "filePath":
			return r.text(&i.FilePath)
		case "fileExtension":
			return r.text(&i.FileExtension)
		case "fileExtensionType":
			return r.text(&i.FileExtensionType)
		case "fileVerificationType":
			return r.text(&i.FileVerification)
		case "publisherName":
			return r.text(&i.Publisher)
		case "certificateId":
			return r.text(&i.CertificateID)
		case "md5":
			return r.text(&i.MD5)
		case "sha1":
			return r.text(&i.SHA1)
		case "sha256":
			return r.text(&i.SHA256)
		case "cloudFilesHashVerdict":
			return r.text(&i.CloudVerdict)
		case "collectionId":
			return r.text(&i.CollectionID)
		case "storyline":
			return r.text(&i.Storyline)
		case "browserType":
			return r.text(&i.BrowserType)
		case "externalTicketId":
			return r.text(&i.TicketID)
		case "fileSize":
			return r.number(&i.FileSize)
		case "macroModules":
			return r.raw(&i.Modules, '[')
		case "isValidCertificate":
			return r.flag(&i.ValidCertificate)
		case "isFileless":
			return r.flag(&i.Fileless)
		case "externalTicketExists":
			return r.flag(&i.TicketExists)
		case "failedActions":
			return r.flag(&i.FailedActions)
		case "pendingActions":
			return r.flag(&i.PendingActions)
		case "rebootRequired":
			return r.flag(&i.RebootRequired)
		case "mitigatedPreemptively":
			return r.flag(&i.MitigatedPreemptively)
		case "automaticallyResolved":
			return r.flag(&i.AutomaticallyResolved)
		case "reachedEventsLimit":
			return r.flag(&i.ReachedEventsLimit)
		}
		return r.skip()
	})
}

// raw keeps the JSON of an object or an array that has something in it.
func (r *reader) raw(p *[]byte, begin byte) error {
	value, err := r.s.Value()
	*p = nil
	if len(value) > 2 && value[0] == begin && len(bytes.TrimSpace(value[1:len(value)-1])) > 0 {
		*p = value[:len(value):len(value)]
	}
	return err
}

func (r *reader) engineList(p *[]Engine) error {
	from := len(r.engines)
	err := r.array(func() error {
		var e Engine
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "key":
				return r.text(&e.Key)
			case "title":
				return r.text(&e.Title)
			}
			return r.skip()
		})
		if e.Key != nil || e.Title != nil {
			r.engines = append(r.engines, e)
		}
		return err
	})
	*p = cutFrom(r.engines, from)
	return err
}

func (r *reader) indicatorList(p *[]Indicator) error {
	from := len(r.indicators)
	err := r.array(func() error {
		var in Indicator
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "category":
				return r.text(&in.Category)
			case "categoryId":
				return r.number(&in.CategoryID)
			case "description":
				return r.text(&in.Description)
			case "ids":
				return r.numbers(&in.IDs)
			case "tactics":
				return r.tacticList(&in.Tactics)
			}
			return r.skip()
		})
		r.indicators = append(r.indicators, in)
		return err
	})
	*p = cutFrom(r.indicators, from)
	return err
}

func (r *reader) tacticList(p *[]Tactic) error {
	from := len(r.tactics)
	err := r.array(func() error {
		var t Tactic
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "name":
				return r.text(&t.Name)
			case "source":
				return r.text(&t.Source)
			case "techniques":
				return r.techniqueList(&t.Techniques)
			}
			return r.skip()
		})
		r.tactics = append(r.tactics, t)
		return err
	})
	*p = cutFrom(r.tactics, from)
	return err
}

func (r *reader) techniqueList(p *[]Technique) error {
	from := len(r.techniques)
	err := r.array(func() error {
		var t Technique
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "name":
				return r.text(&t.ID)
			case "link":
				return r.text(&t.Link)
			}
			return r.skip()
		})
		r.techniques = append(r.techniques, t)
		return err
	})
	*p = cutFrom(r.techniques, from)
	return err
}

func (r *reader) mitigationList(p *[]Mitigation) error {
	from := len(r.mitigations)
	err := r.array(func() error {
		var m Mitigation
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "action":
				return r.text(&m.Action)
			case "status":
				return r.text(&m.Status)
			case "lastUpdate":
				return r.text(&m.LastUpdate)
			case "mitigationStartedAt":
				return r.text(&m.StartedAt)
			case "mitigationEndedAt":
				return r.text(&m.EndedAt)
			case "latestReport":
				return r.text(&m.Report)
			case "reportId":
				return r.text(&m.ReportID)
			case "agentSupportsReport":
				return r.flag(&m.SupportsReport)
			case "groupNotFound":
				return r.flag(&m.GroupNotFound)
			case "actionsCounters":
				return r.counters(&m)
			}
			return r.skip()
		})
		r.mitigations = append(r.mitigations, m)
		return err
	})
	*p = cutFrom(r.mitigations, from)
	return err
}

func (r *reader) counters(m *Mitigation) error {
	m.Total, m.Success, m.Failed, m.NotFound, m.PendingReboot = nil, nil, nil, nil, nil
	return r.object(func(key []byte) error {
		switch string(key) {
		case "total":
			return r.number(&m.Total)
		case "success":
			return r.number(&m.Success)
		case "failed":
			return r.number(&m.Failed)
		case "notFound":
			return r.number(&m.NotFound)
		case "pendingReboot":
			return r.number(&m.PendingReboot)
		}
		return r.skip()
	})
}
