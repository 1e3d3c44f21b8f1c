package format

import (
	"net/netip"
	"testing"
)

// FuzzIPVersion holds our reading of addresses against net/netip's.
func FuzzIPVersion(f *testing.F) {
	for _, seed := range []string{"10.42.17.93", "256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.", "::", "::1", "1::", "fe80::5c1e:90ff:fe2b:71d4", "2001:db8:42:17::93",
		"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:7:1.2.3.4", "12345::", "::1:", ":1", ":::", "1:::2", "::1::", "1::2%eth0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		want := 0
		switch {
		case err != nil || a.Zone() != "":
		case a.Is4():
			want = 4
		default:
			want = 6
		}
		if got := ipVersion([]byte(s)); got != want {
			t.Fatalf("%q: version %d, want %d", s, got, want)
		}
		if want == 6 {
			if got, _ := parseIPv6([]byte(s)); got != a.As16() {
				t.Fatalf("%q: %v, want %v", s, got, a.As16())
			}
			routable := a.Unmap().Is4() || !a.IsLinkLocalUnicast() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast()
			if got := isRoutableIPv6([]byte(s)); got != routable {
				t.Fatalf("%q: routable %v, want %v", s, got, routable)
			}
		}
	})
}

func TestMAC_IsSixGroupsOfOneKind(t *testing.T) {
	for mac, want := range map[string]bool{
		"02:00:5e:10:7a:3c": true, "02-00-5E-10-7A-3C": true, "02:00-5e:10:7a:3c": false, "02:00:5e:10:7a": false,
		"02005e107a3c": false, "02:00:5e:10:7a:3g": false, "": false, "02:00:5e:10:7a:3c:00": false,
	} {
		if isMAC([]byte(mac)) != want {
			t.Errorf("%q: %v", mac, !want)
		}
	}
}
