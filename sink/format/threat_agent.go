package format

func (r *reader) detection(d *Detection) error {
	*d = Detection{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "accountId":
			return r.text(&d.AccountID)
		case "accountName":
			return r.text(&d.AccountName)
		case "siteId":
			return r.text(&d.SiteID)
		case "siteName":
			return r.text(&d.SiteName)
		case "groupId":
			return r.text(&d.GroupID)
		case "groupName":
			return r.text(&d.GroupName)
		case "agentUuid":
			return r.text(&d.UUID)
		case "agentVersion":
			return r.text(&d.Version)
		case "agentDomain":
			return r.text(&d.Domain)
		case "agentOsName":
			return r.text(&d.OSName)
		case "agentOsRevision":
			return r.text(&d.OSRevision)
		case "agentDetectionState":
			return r.text(&d.State)
		case "assetVersion":
			return r.text(&d.AssetVersion)
		case "agentIpV4":
			return r.addresses(&d.IPv4)
		case "agentIpV6":
			return r.addresses(&d.IPv6)
		case "externalIp":
			return r.text(&d.ExternalIP)
		case "agentRegisteredAt":
			return r.text(&d.RegisteredAt)
		case "agentMitigationMode":
			return r.text(&d.MitigationMode)
		case "agentLastLoggedInUserName":
			return r.text(&d.UserName)
		case "agentLastLoggedInUpn":
			return r.text(&d.UserUPN)
		case "agentLastLoggedInUserMail":
			return r.text(&d.UserMail)
		case "cloudProviders":
			return r.clouds(d)
		}
		return r.skip()
	})
}

// clouds keeps the whole and reads the first provider.
func (r *reader) clouds(d *Detection) error {
	r.s.Space()
	from := r.s
	if err := r.raw(&d.Clouds, '{'); err != nil {
		return err
	}
	d.Cloud = Cloud{}
	if d.Clouds == nil {
		return nil
	}
	behind := r.s
	r.s = from
	first := true
	err := r.s.Object(func(key []byte) error {
		if !first {
			return r.skip()
		}
		first = false
		d.Cloud.Provider = key[:len(key):len(key)]
		return r.cloud(&d.Cloud)
	})
	r.s = behind
	return err
}

func (r *reader) cloud(c *Cloud) error {
	return r.object(func(key []byte) error {
		switch string(key) {
		case "cloudAccount":
			return r.text(&c.Account)
		case "cloudImage":
			return r.text(&c.Image)
		case "cloudInstanceId":
			return r.text(&c.InstanceID)
		case "cloudInstanceSize":
			return r.text(&c.InstanceSize)
		case "cloudLocation":
			return r.text(&c.Location)
		case "cloudNetwork":
			return r.text(&c.Network)
		case "cloudTags":
			return r.texts(&c.Tags)
		case "awsRole":
			return r.text(&c.AWSRole)
		case "awsSecurityGroups":
			return r.texts(&c.AWSSecurityGroups)
		case "awsSubnetIds":
			return r.texts(&c.AWSSubnets)
		case "azureResourceGroup":
			return r.text(&c.AzureResourceGroup)
		case "gcpServiceAccount":
			return r.text(&c.GCPServiceAccount)
		case "clusterName":
			return r.text(&c.Cluster)
		case "agentNamespace":
			return r.text(&c.Namespace)
		case "agentPodName":
			return r.text(&c.Pod)
		}
		return r.skip()
	})
}

func (r *reader) realtime(a *Realtime) error {
	*a = Realtime{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "accountId":
			return r.text(&a.AccountID)
		case "accountName":
			return r.text(&a.AccountName)
		case "siteId":
			return r.text(&a.SiteID)
		case "siteName":
			return r.text(&a.SiteName)
		case "groupId":
			return r.text(&a.GroupID)
		case "groupName":
			return r.text(&a.GroupName)
		case "agentId":
			return r.text(&a.AgentID)
		case "agentUuid":
			return r.text(&a.UUID)
		case "agentVersion":
			return r.text(&a.Version)
		case "agentComputerName":
			return r.text(&a.ComputerName)
		case "agentDomain":
			return r.text(&a.Domain)
		case "agentOsName":
			return r.text(&a.OSName)
		case "agentOsType":
			return r.text(&a.OSType)
		case "agentOsRevision":
			return r.text(&a.OSRevision)
		case "agentMachineType":
			return r.text(&a.MachineType)
		case "agentMitigationMode":
			return r.text(&a.MitigationMode)
		case "agentNetworkStatus":
			return r.text(&a.NetworkStatus)
		case "operationalState":
			return r.text(&a.OperationalState)
		case "scanStatus":
			return r.text(&a.ScanStatus)
		case "scanStartedAt":
			return r.text(&a.ScanStartedAt)
		case "scanFinishedAt":
			return r.text(&a.ScanFinishedAt)
		case "scanAbortedAt":
			return r.text(&a.ScanAbortedAt)
		case "storageName":
			return r.text(&a.StorageName)
		case "storageType":
			return r.text(&a.StorageType)
		case "agentDecommissionedAt":
			return r.text(&a.DecommissionedAt)
		case "activeThreats":
			return r.number(&a.ActiveThreats)
		case "networkInterfaces":
			return r.interfaceList(&a.Interfaces)
		case "userActionsNeeded":
			return r.texts(&a.ActionsNeeded)
		case "agentIsActive":
			return r.flag(&a.Active)
		case "agentInfected":
			return r.flag(&a.Infected)
		case "agentIsDecommissioned":
			return r.flag(&a.Decommissioned)
		case "rebootRequired":
			return r.flag(&a.RebootRequired)
		}
		return r.skip()
	})
}

func (r *reader) interfaceList(p *[]Interface) error {
	from := len(r.interfaces)
	err := r.array(func() error {
		var i Interface
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "id":
				return r.text(&i.ID)
			case "name":
				return r.text(&i.Name)
			case "physical":
				return r.text(&i.MAC)
			case "inet":
				return r.texts(&i.IPv4)
			case "inet6":
				return r.texts(&i.IPv6)
			}
			return r.skip()
		})
		r.interfaces = append(r.interfaces, i)
		return err
	})
	*p = cutFrom(r.interfaces, from)
	return err
}

func (r *reader) container(c *Container) error {
	*c = Container{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "id":
			return r.text(&c.ID)
		case "name":
			return r.text(&c.Name)
		case "image":
			return r.text(&c.Image)
		case "labels":
			return r.texts(&c.Labels)
		case "isContainerQuarantine":
			return r.flag(&c.Quarantine)
		}
		return r.skip()
	})
}

func (r *reader) kubernetes(k *Kubernetes) error {
	*k = Kubernetes{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "cluster":
			return r.text(&k.Cluster)
		case "namespace":
			return r.text(&k.Namespace)
		case "node":
			return r.text(&k.Node)
		case "pod":
			return r.text(&k.Pod)
		case "controllerKind":
			return r.text(&k.ControllerKind)
		case "controllerName":
			return r.text(&k.ControllerName)
		case "controllerLabels":
			return r.texts(&k.ControllerLabels)
		case "namespaceLabels":
			return r.texts(&k.NamespaceLabels)
		case "nodeLabels":
			return r.texts(&k.NodeLabels)
		case "podLabels":
			return r.texts(&k.PodLabels)
		case "isContainerQuarantine":
			return r.flag(&k.Quarantine)
		}
		return r.skip()
	})
}

func (r *reader) ecs(e *ECS) error {
	*e = ECS{}
	return r.object(func(key []byte) error {
		switch string(key) {
		case "clusterName":
			return r.text(&e.ClusterName)
		case "serviceArn":
			return r.text(&e.ServiceARN)
		case "serviceName":
			return r.text(&e.ServiceName)
		case "taskArn":
			return r.text(&e.TaskARN)
		case "taskAvailabilityZone":
			return r.text(&e.TaskZone)
		case "taskDefinitionArn":
			return r.text(&e.TaskDefinition)
		case "taskDefinitionFamily":
			return r.text(&e.TaskFamily)
		case "taskDefinitionRevision":
			return r.text(&e.TaskRevision)
		case "type":
			return r.text(&e.Type)
		case "version":
			return r.text(&e.Version)
		}
		return r.skip()
	})
}
