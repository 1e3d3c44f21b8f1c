package proxyenv

import "testing"

func TestUnreadable_NamesTheVariableThatDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		env    []string
		scheme string
		want   string
	}{
		"none":                      {nil, "https", ""},
		"empty":                     {[]string{"HTTPS_PROXY="}, "https", ""},
		"a URL":                     {[]string{"HTTPS_PROXY=http://u:p@proxy.example:3128"}, "https", ""},
		"host and port":             {[]string{"https_proxy=proxy.example:3128"}, "https", ""},
		"SOCKS":                     {[]string{"HTTPS_PROXY=socks5://[2001:db8::1]:1080"}, "https", ""},
		"a broken escape":           {[]string{"HTTPS_PROXY=http://user:p%zz@h:1"}, "https", "HTTPS_PROXY"},
		"lower case":                {[]string{"https_proxy=http://user:p%zz@h:1"}, "https", "https_proxy"},
		"upper case decides":        {[]string{"https_proxy=http://p%zz@h:1", "HTTPS_PROXY=http://h:1"}, "https", ""},
		"empty upper, broken lower": {[]string{"HTTPS_PROXY=", "https_proxy=http://p%zz@h:1"}, "https", "https_proxy"},
		"no host":                   {[]string{"HTTPS_PROXY=http://"}, "https", "HTTPS_PROXY"},
		"another scheme":            {[]string{"HTTPS_PROXY=ftp://h:1"}, "https", "HTTPS_PROXY"},
		"host with a broken escape": {[]string{"HTTPS_PROXY=user:p%zz@h:1"}, "https", "HTTPS_PROXY"},
		"the other variable":        {[]string{"HTTP_PROXY=http://p%zz@h:1"}, "https", ""},
		"for http":                  {[]string{"HTTP_PROXY=http://p%zz@h:1"}, "http", "HTTP_PROXY"},
	} {
		if got := Unreadable(tc.env, tc.scheme); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestUsers_FindsWhoThePasswordsAreOf(t *testing.T) {
	env := []string{
		"HTTPS_PROXY=http://a:one@h:1", "https_proxy=b:two@h:1", "HTTP_PROXY=http://h:1", "http_proxy=http://c:p%zz@h:1", "NO_PROXY=d:three@h:1",
	}
	var got string
	for _, u := range Users(env) {
		got += u.String() + " "
	}
	if want := "a:one b:two "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
