package format

// firstIPv4 returns the first IPv4 address of the agent: as it was when it found the threat, else as it is now.
func (t *Threat) firstIPv4() []byte {
	if ip := firstOf(t.Detection.IPv4, isIPv4); ip != nil {
		return ip
	}
	for i := range t.Realtime.Interfaces {
		if ip := firstOf(t.Realtime.Interfaces[i].IPv4, isIPv4); ip != nil {
			return ip
		}
	}
	return nil
}

// firstIPv6 returns the first IPv6 address of the agent that means something on another network.
func (t *Threat) firstIPv6() []byte {
	if ip := firstOf(t.Detection.IPv6, isRoutableIPv6); ip != nil {
		return ip
	}
	for i := range t.Realtime.Interfaces {
		if ip := firstOf(t.Realtime.Interfaces[i].IPv6, isRoutableIPv6); ip != nil {
			return ip
		}
	}
	return nil
}

// firstMAC returns the first hardware address of six groups.
func (t *Threat) firstMAC() []byte {
	for i := range t.Realtime.Interfaces {
		if mac := t.Realtime.Interfaces[i].MAC; isMAC(mac) {
			return mac
		}
	}
	return nil
}

func firstOf(list [][]byte, is func([]byte) bool) []byte {
	for _, b := range list {
		if is(b) {
			return b
		}
	}
	return nil
}

// site, group, account and domain are where the agent was when it found the threat, else where it is now.
func (t *Threat) site() []byte    { return either(t.Detection.SiteName, t.Realtime.SiteName) }
func (t *Threat) group() []byte   { return either(t.Detection.GroupName, t.Realtime.GroupName) }
func (t *Threat) account() []byte { return either(t.Detection.AccountName, t.Realtime.AccountName) }
func (t *Threat) domain() []byte  { return either(t.Detection.Domain, t.Realtime.Domain) }

func either(first, second []byte) []byte {
	if first != nil {
		return first
	}
	return second
}

// attackID returns the first technique that ATT&CK numbers, of max bytes at the most; nil where there is none.
func (t *Threat) attackID(max int) []byte {
	for i := range t.Indicators {
		for _, tactic := range t.Indicators[i].Tactics {
			for _, technique := range tactic.Techniques {
				_, sub := techniqueParent(technique.ID)
				if id := technique.ID; len(id) <= max && (sub || isTechnique(id)) {
					return id
				}
			}
		}
	}
	return nil
}
