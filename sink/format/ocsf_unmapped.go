package format

// ocsfUnmapped writes what the schema has no place for, in the console's own names.
func ocsfUnmapped(w *jsonWriter, t *Threat, s *step) {
	m := w.object(`"unmapped":`)
	unmappedInfo(w, &t.Info, s)
	unmappedDetection(w, &t.Detection, s)
	unmappedRealtime(w, &t.Realtime)
	unmappedPlaces(w, t, s)
	w.texts(`"whiteningOptions":`, t.Whitening)
	if !s.noIndicators {
		list := w.list(`"indicators":`)
		for i := range t.Indicators {
			o := w.object("")
			w.text(`"category":`, t.Indicators[i].Category)
			w.number(`"categoryId":`, t.Indicators[i].CategoryID)
			w.text(`"description":`, t.Indicators[i].Description)
			w.end(o)
		}
		w.end(list)
	}
	if !s.noLists {
		list := w.list(`"mitigationStatus":`)
		for i := range t.Mitigations {
			r := &t.Mitigations[i]
			o := w.object("")
			w.text(`"action":`, r.Action)
			w.text(`"status":`, r.Status)
			w.text(`"lastUpdate":`, r.LastUpdate)
			w.text(`"mitigationStartedAt":`, r.StartedAt)
			w.text(`"mitigationEndedAt":`, r.EndedAt)
			w.text(`"reportId":`, r.ReportID)
			w.text(`"latestReport":`, r.Report)
			c := w.object(`"actionsCounters":`)
			w.number(`"total":`, r.Total)
			w.number(`"success":`, r.Success)
			w.number(`"failed":`, r.Failed)
			w.number(`"notFound":`, r.NotFound)
			w.number(`"pendingReboot":`, r.PendingReboot)
			w.end(c)
			w.end(o)
		}
		w.end(list)
	}
	w.end(m)
}

func unmappedInfo(w *jsonWriter, i *Info, s *step) {
	m := w.object(`"threatInfo":`)
	w.text(`"mitigationStatus":`, i.Mitigation)
	w.text(`"classificationSource":`, i.ClassificationSource)
	w.text(`"detectionType":`, i.DetectionType)
	w.text(`"initiatedBy":`, i.InitiatedBy)
	w.text(`"initiatedByDescription":`, i.InitiatedByDescription)
	w.text(`"initiatingUserId":`, i.InitiatingUserID)
	w.text(`"initiatingUsername":`, i.InitiatingUser)
	w.text(`"cloudFilesHashVerdict":`, i.CloudVerdict)
	w.text(`"collectionId":`, i.CollectionID)
	w.text(`"browserType":`, i.BrowserType)
	w.text(`"certificateId":`, i.CertificateID)
	w.text(`"fileExtensionType":`, i.FileExtensionType)
	w.text(`"fileVerificationType":`, i.FileVerification)
	w.text(`"rootProcessUpn":`, i.RootProcessUPN)
	w.flag(`"isValidCertificate":`, i.ValidCertificate)
	w.flag(`"isFileless":`, i.Fileless)
	w.flag(`"failedActions":`, i.FailedActions)
	w.flag(`"pendingActions":`, i.PendingActions)
	w.flag(`"rebootRequired":`, i.RebootRequired)
	w.flag(`"mitigatedPreemptively":`, i.MitigatedPreemptively)
	w.flag(`"automaticallyResolved":`, i.AutomaticallyResolved)
	w.flag(`"reachedEventsLimit":`, i.ReachedEventsLimit)
	for k, h := range ocsfHashes(i) {
		if !isHash(h.value, h.size) { // what the console calls a hash and is none
			w.text([...]string{`"sha256":`, `"sha1":`, `"md5":`}[k], h.value)
		}
	}
	if len(i.Storyline) == 0 { // then there is no process among the evidences
		w.text(`"originatorProcess":`, i.OriginatorProcess)
		w.text(`"processUser":`, i.ProcessUser)
		w.textTo(`"maliciousProcessArguments":`, i.Arguments, s.arguments)
	}
	if !s.noLabels {
		w.elements(`"macroModules":`, i.Modules)
	}
	w.end(m)
}

func unmappedDetection(w *jsonWriter, d *Detection, s *step) {
	m := w.object(`"agentDetectionInfo":`)
	w.text(`"agentDetectionState":`, d.State)
	w.text(`"agentLastLoggedInUpn":`, d.UserUPN)
	w.text(`"agentMitigationMode":`, d.MitigationMode)
	w.text(`"agentRegisteredAt":`, d.RegisteredAt)
	w.text(`"agentVersion":`, d.Version)
	w.text(`"assetVersion":`, d.AssetVersion)
	w.text(`"externalIp":`, d.ExternalIP)
	if !s.noLabels {
		w.tree(`"cloudProviders":`, d.Clouds)
	}
	w.end(m)
}

func unmappedRealtime(w *jsonWriter, a *Realtime) {
	m := w.object(`"agentRealtimeInfo":`)
	w.number(`"activeThreats":`, a.ActiveThreats)
	w.flag(`"agentInfected":`, a.Infected)
	w.flag(`"agentIsActive":`, a.Active)
	w.flag(`"agentIsDecommissioned":`, a.Decommissioned)
	w.text(`"agentDecommissionedAt":`, a.DecommissionedAt)
	w.text(`"agentMitigationMode":`, a.MitigationMode)
	w.text(`"agentNetworkStatus":`, a.NetworkStatus)
	w.text(`"operationalState":`, a.OperationalState)
	w.flag(`"rebootRequired":`, a.RebootRequired)
	w.text(`"scanStatus":`, a.ScanStatus)
	w.text(`"scanStartedAt":`, a.ScanStartedAt)
	w.text(`"scanFinishedAt":`, a.ScanFinishedAt)
	w.text(`"scanAbortedAt":`, a.ScanAbortedAt)
	w.text(`"storageName":`, a.StorageName)
	w.text(`"storageType":`, a.StorageType)
	w.texts(`"userActionsNeeded":`, a.ActionsNeeded)
	w.end(m)
}

func unmappedPlaces(w *jsonWriter, t *Threat, s *step) {
	labels := func(key string, list [][]byte) {
		if !s.noLabels {
			w.texts(key, list)
		}
	}
	m := w.object(`"containerInfo":`)
	w.flag(`"isContainerQuarantine":`, t.Container.Quarantine)
	w.end(m)
	k := &t.Kubernetes
	m = w.object(`"kubernetesInfo":`)
	w.text(`"cluster":`, k.Cluster)
	w.text(`"controllerKind":`, k.ControllerKind)
	w.text(`"controllerName":`, k.ControllerName)
	labels(`"controllerLabels":`, k.ControllerLabels)
	w.flag(`"isContainerQuarantine":`, k.Quarantine)
	w.text(`"namespace":`, k.Namespace)
	labels(`"namespaceLabels":`, k.NamespaceLabels)
	w.text(`"node":`, k.Node)
	labels(`"nodeLabels":`, k.NodeLabels)
	w.text(`"pod":`, k.Pod)
	labels(`"podLabels":`, k.PodLabels)
	w.end(m)
	e := &t.ECS
	m = w.object(`"ecsInfo":`)
	w.text(`"clusterName":`, e.ClusterName)
	w.text(`"serviceArn":`, e.ServiceARN)
	w.text(`"serviceName":`, e.ServiceName)
	w.text(`"taskArn":`, e.TaskARN)
	w.text(`"taskAvailabilityZone":`, e.TaskZone)
	w.text(`"taskDefinitionArn":`, e.TaskDefinition)
	w.text(`"taskDefinitionFamily":`, e.TaskFamily)
	w.text(`"taskDefinitionRevision":`, e.TaskRevision)
	w.text(`"type":`, e.Type)
	w.text(`"version":`, e.Version)
	w.end(m)
}
