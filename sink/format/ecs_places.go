package format

// ecsPlaces writes what the endpoint runs on: container, orchestrator, cloud.
func ecsPlaces(w *jsonWriter, t *Threat) {
	c := &t.Container
	m := w.object(`"container":`)
	w.text(`"id":`, c.ID)
	w.text(`"name":`, c.Name)
	i := w.object(`"image":`)
	w.text(`"name":`, c.Image)
	w.end(i)
	w.end(m)

	k := &t.Kubernetes
	m = w.object(`"orchestrator":`)
	o := w.object(`"cluster":`)
	w.text(`"name":`, k.Cluster)
	w.end(o)
	w.text(`"namespace":`, k.Namespace)
	if len(k.Pod) > 0 {
		o = w.object(`"resource":`)
		w.text(`"name":`, k.Pod)
		w.word(`"type":`, "pod")
		w.end(o)
	}
	if !w.empty(m) {
		w.word(`"type":`, "kubernetes")
	}
	w.end(m)

	cloud := &t.Detection.Cloud
	m = w.object(`"cloud":`)
	w.lower(`"provider":`, cloud.Provider)
	o = w.object(`"account":`)
	w.text(`"id":`, cloud.Account)
	w.end(o)
	o = w.object(`"instance":`)
	w.text(`"id":`, cloud.InstanceID)
	w.end(o)
	o = w.object(`"machine":`)
	w.text(`"type":`, cloud.InstanceSize)
	w.end(o)
	w.text(`"region":`, cloud.Location)
	w.end(m)
}

// ecsRelated writes what an analyst pivots on, each value once.
func ecsRelated(w *jsonWriter, t *Threat) {
	var space [32][]byte
	m := w.object(`"related":`)
	list := addOnce(space[:0], t.Info.SHA1)
	list = addOnce(list, t.Info.SHA256)
	w.texts(`"hash":`, addOnce(list, t.Info.MD5))
	w.texts(`"hosts":`, addOnce(space[:0], t.Realtime.ComputerName))
	list = hostAddresses(t, space[:0])
	if ip, _, ok := ipOf(t.Detection.ExternalIP); ok {
		list = addOnce(list, ip)
	}
	w.texts(`"ip":`, list)
	_, name := ecsUser(t)
	list = addOnce(space[:0], name)
	_, name = splitUser(t.Info.ProcessUser)
	list = addOnce(list, name)
	w.texts(`"user":`, addOnce(list, t.Info.InitiatingUser))
	w.end(m)
}
