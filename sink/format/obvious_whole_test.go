package format

// The obvious way to ECS and OCSF reads all of a threat into this, and makes maps of it.

type wholeThreat struct {
	AgentDetectionInfo struct {
		AccountId                 string         `json:"accountId"`
		AccountName               string         `json:"accountName"`
		AgentDetectionState       string         `json:"agentDetectionState"`
		AgentDomain               string         `json:"agentDomain"`
		AgentIpV4                 string         `json:"agentIpV4"`
		AgentIpV6                 string         `json:"agentIpV6"`
		AgentLastLoggedInUpn      string         `json:"agentLastLoggedInUpn"`
		AgentLastLoggedInUserMail string         `json:"agentLastLoggedInUserMail"`
		AgentLastLoggedInUserName string         `json:"agentLastLoggedInUserName"`
		AgentMitigationMode       string         `json:"agentMitigationMode"`
		AgentOsName               string         `json:"agentOsName"`
		AgentOsRevision           string         `json:"agentOsRevision"`
		AgentRegisteredAt         string         `json:"agentRegisteredAt"`
		AgentUuid                 string         `json:"agentUuid"`
		AgentVersion              string         `json:"agentVersion"`
		AssetVersion              string         `json:"assetVersion"`
		CloudProviders            map[string]any `json:"cloudProviders"`
		ExternalIp                string         `json:"externalIp"`
		GroupId                   string         `json:"groupId"`
		GroupName                 string         `json:"groupName"`
		SiteId                    string         `json:"siteId"`
		SiteName                  string         `json:"siteName"`
	} `json:"agentDetectionInfo"`
	AgentRealtimeInfo struct {
		AccountId             string `json:"accountId"`
		AccountName           string `json:"accountName"`
		ActiveThreats         *int64 `json:"activeThreats"`
		AgentComputerName     string `json:"agentComputerName"`
		AgentDecommissionedAt string `json:"agentDecommissionedAt"`
		AgentDomain           string `json:"agentDomain"`
		AgentId               string `json:"agentId"`
		AgentInfected         bool   `json:"agentInfected"`
		AgentIsActive         bool   `json:"agentIsActive"`
		AgentIsDecommissioned bool   `json:"agentIsDecommissioned"`
		AgentMachineType      string `json:"agentMachineType"`
		AgentMitigationMode   string `json:"agentMitigationMode"`
		AgentNetworkStatus    string `json:"agentNetworkStatus"`
		AgentOsName           string `json:"agentOsName"`
		AgentOsRevision       string `json:"agentOsRevision"`
		AgentOsType           string `json:"agentOsType"`
		AgentUuid             string `json:"agentUuid"`
		AgentVersion          string `json:"agentVersion"`
		GroupId               string `json:"groupId"`
		GroupName             string `json:"groupName"`
		NetworkInterfaces     []struct {
			Id       string   `json:"id"`
			Inet     []string `json:"inet"`
			Inet6    []string `json:"inet6"`
			Name     string   `json:"name"`
			Physical string   `json:"physical"`
		} `json:"networkInterfaces"`
		OperationalState  string   `json:"operationalState"`
		RebootRequired    bool     `json:"rebootRequired"`
		ScanAbortedAt     string   `json:"scanAbortedAt"`
		ScanFinishedAt    string   `json:"scanFinishedAt"`
		ScanStartedAt     string   `json:"scanStartedAt"`
		ScanStatus        string   `json:"scanStatus"`
		SiteId            string   `json:"siteId"`
		SiteName          string   `json:"siteName"`
		StorageName       string   `json:"storageName"`
		StorageType       string   `json:"storageType"`
		UserActionsNeeded []string `json:"userActionsNeeded"`
	} `json:"agentRealtimeInfo"`
	ContainerInfo struct {
		Id                    string   `json:"id"`
		Image                 string   `json:"image"`
		IsContainerQuarantine bool     `json:"isContainerQuarantine"`
		Labels                []string `json:"labels"`
		Name                  string   `json:"name"`
	} `json:"containerInfo"`
	EcsInfo struct {
		ClusterName            string `json:"clusterName"`
		ServiceArn             string `json:"serviceArn"`
		ServiceName            string `json:"serviceName"`
		TaskArn                string `json:"taskArn"`
		TaskAvailabilityZone   string `json:"taskAvailabilityZone"`
		TaskDefinitionArn      string `json:"taskDefinitionArn"`
		TaskDefinitionFamily   string `json:"taskDefinitionFamily"`
		TaskDefinitionRevision string `json:"taskDefinitionRevision"`
		Type                   string `json:"type"`
		Version                string `json:"version"`
	} `json:"ecsInfo"`
	Id         string `json:"id"`
	Indicators []struct {
		Category    string  `json:"category"`
		Description string  `json:"description"`
		Ids         []int64 `json:"ids"`
		Tactics     []struct {
			Name       string `json:"name"`
			Source     string `json:"source"`
			Techniques []struct {
				Link string `json:"link"`
				Name string `json:"name"`
			} `json:"techniques"`
		} `json:"tactics"`
		CategoryId *int64 `json:"categoryId"`
	} `json:"indicators"`
	KubernetesInfo struct {
		Cluster               string   `json:"cluster"`
		ControllerKind        string   `json:"controllerKind"`
		ControllerLabels      []string `json:"controllerLabels"`
		ControllerName        string   `json:"controllerName"`
		IsContainerQuarantine bool     `json:"isContainerQuarantine"`
		Namespace             string   `json:"namespace"`
		NamespaceLabels       []string `json:"namespaceLabels"`
		Node                  string   `json:"node"`
		NodeLabels            []string `json:"nodeLabels"`
		Pod                   string   `json:"pod"`
		PodLabels             []string `json:"podLabels"`
	} `json:"kubernetesInfo"`
	MitigationStatus []struct {
		Action          string `json:"action"`
		ActionsCounters struct {
			Failed        *int64 `json:"failed"`
			NotFound      *int64 `json:"notFound"`
			PendingReboot *int64 `json:"pendingReboot"`
			Success       *int64 `json:"success"`
			Total         *int64 `json:"total"`
		} `json:"actionsCounters"`
		AgentSupportsReport bool   `json:"agentSupportsReport"`
		GroupNotFound       bool   `json:"groupNotFound"`
		LastUpdate          string `json:"lastUpdate"`
		LatestReport        string `json:"latestReport"`
		MitigationEndedAt   string `json:"mitigationEndedAt"`
		MitigationStartedAt string `json:"mitigationStartedAt"`
		ReportId            string `json:"reportId"`
		Status              string `json:"status"`
	} `json:"mitigationStatus"`
	ThreatInfo struct {
		AnalystVerdict            string `json:"analystVerdict"`
		AnalystVerdictDescription string `json:"analystVerdictDescription"`
		AutomaticallyResolved     bool   `json:"automaticallyResolved"`
		BrowserType               string `json:"browserType"`
		CertificateId             string `json:"certificateId"`
		Classification            string `json:"classification"`
		ClassificationSource      string `json:"classificationSource"`
		CloudFilesHashVerdict     string `json:"cloudFilesHashVerdict"`
		CollectionId              string `json:"collectionId"`
		ConfidenceLevel           string `json:"confidenceLevel"`
		CreatedAt                 string `json:"createdAt"`
		DetectionEngines          []struct {
			Key   string `json:"key"`
			Title string `json:"title"`
		} `json:"detectionEngines"`
		DetectionType               string   `json:"detectionType"`
		Engines                     []string `json:"engines"`
		ExternalTicketExists        bool     `json:"externalTicketExists"`
		ExternalTicketId            string   `json:"externalTicketId"`
		FailedActions               bool     `json:"failedActions"`
		FileExtension               string   `json:"fileExtension"`
		FileExtensionType           string   `json:"fileExtensionType"`
		FilePath                    string   `json:"filePath"`
		FileSize                    *int64   `json:"fileSize"`
		FileVerificationType        string   `json:"fileVerificationType"`
		IdentifiedAt                string   `json:"identifiedAt"`
		IncidentStatus              string   `json:"incidentStatus"`
		IncidentStatusDescription   string   `json:"incidentStatusDescription"`
		InitiatedBy                 string   `json:"initiatedBy"`
		InitiatedByDescription      string   `json:"initiatedByDescription"`
		InitiatingUserId            string   `json:"initiatingUserId"`
		InitiatingUsername          string   `json:"initiatingUsername"`
		IsFileless                  bool     `json:"isFileless"`
		IsValidCertificate          bool     `json:"isValidCertificate"`
		MacroModules                []string `json:"macroModules"`
		MaliciousProcessArguments   string   `json:"maliciousProcessArguments"`
		Md5                         string   `json:"md5"`
		MitigatedPreemptively       bool     `json:"mitigatedPreemptively"`
		MitigationStatus            string   `json:"mitigationStatus"`
		MitigationStatusDescription string   `json:"mitigationStatusDescription"`
		OriginatorProcess           string   `json:"originatorProcess"`
		PendingActions              bool     `json:"pendingActions"`
		ProcessUser                 string   `json:"processUser"`
		PublisherName               string   `json:"publisherName"`
		ReachedEventsLimit          bool     `json:"reachedEventsLimit"`
		RebootRequired              bool     `json:"rebootRequired"`
		RootProcessUpn              string   `json:"rootProcessUpn"`
		Sha1                        string   `json:"sha1"`
		Sha256                      string   `json:"sha256"`
		Storyline                   string   `json:"storyline"`
		ThreatId                    string   `json:"threatId"`
		ThreatName                  string   `json:"threatName"`
		UpdatedAt                   string   `json:"updatedAt"`
	} `json:"threatInfo"`
	WhiteningOptions []string `json:"whiteningOptions"`
}

// told is every field of a threat in a map, as what has no other place is told.
func (t *wholeThreat) told() map[string]any {
	return map[string]any{
		"agent_detection_info": map[string]any{
			"account_id":                     t.AgentDetectionInfo.AccountId,
			"account_name":                   t.AgentDetectionInfo.AccountName,
			"agent_detection_state":          t.AgentDetectionInfo.AgentDetectionState,
			"agent_domain":                   t.AgentDetectionInfo.AgentDomain,
			"agent_ip_v4":                    t.AgentDetectionInfo.AgentIpV4,
			"agent_ip_v6":                    t.AgentDetectionInfo.AgentIpV6,
			"agent_last_logged_in_upn":       t.AgentDetectionInfo.AgentLastLoggedInUpn,
			"agent_last_logged_in_user_mail": t.AgentDetectionInfo.AgentLastLoggedInUserMail,
			"agent_last_logged_in_user_name": t.AgentDetectionInfo.AgentLastLoggedInUserName,
			"agent_mitigation_mode":          t.AgentDetectionInfo.AgentMitigationMode,
			"agent_os_name":                  t.AgentDetectionInfo.AgentOsName,
			"agent_os_revision":              t.AgentDetectionInfo.AgentOsRevision,
			"agent_registered_at":            t.AgentDetectionInfo.AgentRegisteredAt,
			"agent_uuid":                     t.AgentDetectionInfo.AgentUuid,
			"agent_version":                  t.AgentDetectionInfo.AgentVersion,
			"asset_version":                  t.AgentDetectionInfo.AssetVersion,
			"cloud_providers":                t.AgentDetectionInfo.CloudProviders,
			"external_ip":                    t.AgentDetectionInfo.ExternalIp,
			"group_id":                       t.AgentDetectionInfo.GroupId,
			"group_name":                     t.AgentDetectionInfo.GroupName,
			"site_id":                        t.AgentDetectionInfo.SiteId,
			"site_name":                      t.AgentDetectionInfo.SiteName,
		},
		"agent_realtime_info": map[string]any{
			"account_id":              t.AgentRealtimeInfo.AccountId,
			"account_name":            t.AgentRealtimeInfo.AccountName,
			"active_threats":          t.AgentRealtimeInfo.ActiveThreats,
			"agent_computer_name":     t.AgentRealtimeInfo.AgentComputerName,
			"agent_decommissioned_at": t.AgentRealtimeInfo.AgentDecommissionedAt,
			"agent_domain":            t.AgentRealtimeInfo.AgentDomain,
			"agent_id":                t.AgentRealtimeInfo.AgentId,
			"agent_infected":          t.AgentRealtimeInfo.AgentInfected,
			"agent_is_active":         t.AgentRealtimeInfo.AgentIsActive,
			"agent_is_decommissioned": t.AgentRealtimeInfo.AgentIsDecommissioned,
			"agent_machine_type":      t.AgentRealtimeInfo.AgentMachineType,
			"agent_mitigation_mode":   t.AgentRealtimeInfo.AgentMitigationMode,
			"agent_network_status":    t.AgentRealtimeInfo.AgentNetworkStatus,
			"agent_os_name":           t.AgentRealtimeInfo.AgentOsName,
			"agent_os_revision":       t.AgentRealtimeInfo.AgentOsRevision,
			"agent_os_type":           t.AgentRealtimeInfo.AgentOsType,
			"agent_uuid":              t.AgentRealtimeInfo.AgentUuid,
			"agent_version":           t.AgentRealtimeInfo.AgentVersion,
			"group_id":                t.AgentRealtimeInfo.GroupId,
			"group_name":              t.AgentRealtimeInfo.GroupName,
			"network_interfaces":      t.AgentRealtimeInfo.NetworkInterfaces,
			"operational_state":       t.AgentRealtimeInfo.OperationalState,
			"reboot_required":         t.AgentRealtimeInfo.RebootRequired,
			"scan_aborted_at":         t.AgentRealtimeInfo.ScanAbortedAt,
			"scan_finished_at":        t.AgentRealtimeInfo.ScanFinishedAt,
			"scan_started_at":         t.AgentRealtimeInfo.ScanStartedAt,
			"scan_status":             t.AgentRealtimeInfo.ScanStatus,
			"site_id":                 t.AgentRealtimeInfo.SiteId,
			"site_name":               t.AgentRealtimeInfo.SiteName,
			"storage_name":            t.AgentRealtimeInfo.StorageName,
			"storage_type":            t.AgentRealtimeInfo.StorageType,
			"user_actions_needed":     t.AgentRealtimeInfo.UserActionsNeeded,
		},
		"container_info": map[string]any{
			"id":                      t.ContainerInfo.Id,
			"image":                   t.ContainerInfo.Image,
			"is_container_quarantine": t.ContainerInfo.IsContainerQuarantine,
			"labels":                  t.ContainerInfo.Labels,
			"name":                    t.ContainerInfo.Name,
		},
		"ecs_info": map[string]any{
			"cluster_name":             t.EcsInfo.ClusterName,
			"service_arn":              t.EcsInfo.ServiceArn,
			"service_name":             t.EcsInfo.ServiceName,
			"task_arn":                 t.EcsInfo.TaskArn,
			"task_availability_zone":   t.EcsInfo.TaskAvailabilityZone,
			"task_definition_arn":      t.EcsInfo.TaskDefinitionArn,
			"task_definition_family":   t.EcsInfo.TaskDefinitionFamily,
			"task_definition_revision": t.EcsInfo.TaskDefinitionRevision,
			"type":                     t.EcsInfo.Type,
			"version":                  t.EcsInfo.Version,
		},
		"id":         t.Id,
		"indicators": t.Indicators,
		"kubernetes_info": map[string]any{
			"cluster":                 t.KubernetesInfo.Cluster,
			"controller_kind":         t.KubernetesInfo.ControllerKind,
			"controller_labels":       t.KubernetesInfo.ControllerLabels,
			"controller_name":         t.KubernetesInfo.ControllerName,
			"is_container_quarantine": t.KubernetesInfo.IsContainerQuarantine,
			"namespace":               t.KubernetesInfo.Namespace,
			"namespace_labels":        t.KubernetesInfo.NamespaceLabels,
			"node":                    t.KubernetesInfo.Node,
			"node_labels":             t.KubernetesInfo.NodeLabels,
			"pod":                     t.KubernetesInfo.Pod,
			"pod_labels":              t.KubernetesInfo.PodLabels,
		},
		"mitigation_status": t.MitigationStatus,
		"threat_info": map[string]any{
			"analyst_verdict":               t.ThreatInfo.AnalystVerdict,
			"analyst_verdict_description":   t.ThreatInfo.AnalystVerdictDescription,
			"automatically_resolved":        t.ThreatInfo.AutomaticallyResolved,
			"browser_type":                  t.ThreatInfo.BrowserType,
			"certificate_id":                t.ThreatInfo.CertificateId,
			"classification":                t.ThreatInfo.Classification,
			"classification_source":         t.ThreatInfo.ClassificationSource,
			"cloud_files_hash_verdict":      t.ThreatInfo.CloudFilesHashVerdict,
			"collection_id":                 t.ThreatInfo.CollectionId,
			"confidence_level":              t.ThreatInfo.ConfidenceLevel,
			"created_at":                    t.ThreatInfo.CreatedAt,
			"detection_engines":             t.ThreatInfo.DetectionEngines,
			"detection_type":                t.ThreatInfo.DetectionType,
			"engines":                       t.ThreatInfo.Engines,
			"external_ticket_exists":        t.ThreatInfo.ExternalTicketExists,
			"external_ticket_id":            t.ThreatInfo.ExternalTicketId,
			"failed_actions":                t.ThreatInfo.FailedActions,
			"file_extension":                t.ThreatInfo.FileExtension,
			"file_extension_type":           t.ThreatInfo.FileExtensionType,
			"file_path":                     t.ThreatInfo.FilePath,
			"file_size":                     t.ThreatInfo.FileSize,
			"file_verification_type":        t.ThreatInfo.FileVerificationType,
			"identified_at":                 t.ThreatInfo.IdentifiedAt,
			"incident_status":               t.ThreatInfo.IncidentStatus,
			"incident_status_description":   t.ThreatInfo.IncidentStatusDescription,
			"initiated_by":                  t.ThreatInfo.InitiatedBy,
			"initiated_by_description":      t.ThreatInfo.InitiatedByDescription,
			"initiating_user_id":            t.ThreatInfo.InitiatingUserId,
			"initiating_username":           t.ThreatInfo.InitiatingUsername,
			"is_fileless":                   t.ThreatInfo.IsFileless,
			"is_valid_certificate":          t.ThreatInfo.IsValidCertificate,
			"macro_modules":                 t.ThreatInfo.MacroModules,
			"malicious_process_arguments":   t.ThreatInfo.MaliciousProcessArguments,
			"md5":                           t.ThreatInfo.Md5,
			"mitigated_preemptively":        t.ThreatInfo.MitigatedPreemptively,
			"mitigation_status":             t.ThreatInfo.MitigationStatus,
			"mitigation_status_description": t.ThreatInfo.MitigationStatusDescription,
			"originator_process":            t.ThreatInfo.OriginatorProcess,
			"pending_actions":               t.ThreatInfo.PendingActions,
			"process_user":                  t.ThreatInfo.ProcessUser,
			"publisher_name":                t.ThreatInfo.PublisherName,
			"reached_events_limit":          t.ThreatInfo.ReachedEventsLimit,
			"reboot_required":               t.ThreatInfo.RebootRequired,
			"root_process_upn":              t.ThreatInfo.RootProcessUpn,
			"sha1":                          t.ThreatInfo.Sha1,
			"sha256":                        t.ThreatInfo.Sha256,
			"storyline":                     t.ThreatInfo.Storyline,
			"threat_id":                     t.ThreatInfo.ThreatId,
			"threat_name":                   t.ThreatInfo.ThreatName,
			"updated_at":                    t.ThreatInfo.UpdatedAt,
		},
		"whitening_options": t.WhiteningOptions,
	}
}
