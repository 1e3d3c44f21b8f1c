package oauth2_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink/oauth2"
)

func client(k *testpeer.Tokens) *oauth2.Client {
	return oauth2.New(oauth2.Config{
		URL: k.URL, ClientID: k.ClientID, Scope: k.Scope,
		Secret: func() (safe.Secret, error) { return safe.Secret(k.Secret), nil },
	}, k.Client.Transport)
}

func TestToken_IsAskedForOnceByMany(t *testing.T) {
	k := testpeer.StartTokens(t, true)
	c := client(k)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if token, err := c.Token(t.Context()); err != nil || token != "token-1" {
				t.Errorf("token is %q, %v", token, err)
			}
		})
	}
	all.Wait()
	if asked, _ := k.Asked(); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

func TestToken_SendsTheCredentialsInTheWayThatIsTaken(t *testing.T) {
	for _, way := range []string{"header", "body"} {
		k := testpeer.StartTokens(t, false)
		k.Only(way)
		c := client(k)
		for i := range 3 {
			token, err := c.Token(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			if !k.Valid(token) {
				t.Errorf("%s: token %d is not the newest", way, i)
			}
			c.Reject(token)
		}
		want := 3
		if way == "body" {
			want = 4 // the header was tried once
		}
		if asked, _ := k.Asked(); asked != want {
			t.Errorf("%s: asked %d times, want %d", way, asked, want)
		}
	}
}

// An operator whose secret has expired is told so, and not what something on the way makes of the second try.
func TestToken_SaysWhatTheEndpointSaidOfTheClient(t *testing.T) {
	for body, want := range map[string]string{
		"<html>":                      "secret expired",
		`{"error":"invalid_request"}`: "secret expired",
		`{"error":"invalid_scope"}`:   "check scope", // the client is known that way
	} {
		k := testpeer.StartTokens(t, false)
		k.Answer(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != "" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"secret expired"}`))
				return true
			}
			w.WriteHeader(map[bool]int{true: http.StatusForbidden, false: http.StatusBadRequest}[body == "<html>"])
			_, _ = w.Write([]byte(body))
			return true
		})
		_, err := client(k).Token(t.Context())
		var failed *oauth2.Error
		if !errors.As(err, &failed) || !failed.Denied || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestReject_OfAnOldTokenKeepsTheNewOne(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	c := client(k)
	first, _ := c.Token(t.Context())
	c.Reject(first)
	second, _ := c.Token(t.Context())
	c.Reject(first)
	if third, err := c.Token(t.Context()); err != nil || third != second || second == first {
		t.Errorf("tokens are %q, %q, %q (%v)", first, second, third, err)
	}
}

func TestToken_ClassifiesRefusals(t *testing.T) {
	for _, test := range []struct {
		name, body string
		status     int
		denied     bool
		wait       time.Duration
		says       string
	}{
		{"client unknown", `{"error":"invalid_client","error_description":"AADSTS7000222: expired"}`, 401, true, 0, "AADSTS7000222"},
		{"scope", `{"error":"invalid_scope"}`, 400, true, 0, "check scope"},
		{"no JSON", `<html>`, 404, true, 0, "address"},
		{"redirect", ``, 302, true, 0, "redirect"},
		{"throttled", `{}`, 429, false, 7 * time.Second, "429"},
		{"down", ``, 503, false, 7 * time.Second, "503"},
		{"200 without a token", `{"token_type":"Bearer"}`, 200, true, 0, "access_token"},
		{"200 of another type", `{"access_token":"x","token_type":"mac"}`, 200, true, 0, "mac"},
		{"200 with a token no header carries", `{"access_token":"x\ny","token_type":"Bearer"}`, 200, true, 0, "header"},
		{"200 but HTML", `<html>`, 200, true, 0, "token endpoint"},
		{"secret echoed", `{"error":"invalid_grant","error_description":"I know s3cr3t /+&=é and s3cr3t+%2F%2B%26%3D%C3%A9"}`, 400, true, 0, "***"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := testpeer.StartTokens(t, false)
			k.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
				return true
			})
			_, err := client(k).Token(t.Context())
			var failed *oauth2.Error
			if !errors.As(err, &failed) {
				t.Fatalf("error is %v, want an *Error", err)
			}
			if failed.Denied != test.denied || failed.RetryAfter != test.wait || !strings.Contains(err.Error(), test.says) {
				t.Errorf("denied %v, wait %v: %v", failed.Denied, failed.RetryAfter, err)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

func TestToken_EndsWithItsContext(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	asked := make(chan struct{})
	k.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		_ = r.ParseForm() // net/http sees the client go once the body is read
		close(asked)
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	c := client(k)
	if _, err := c.Token(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	k.Answer(nil)
	if token, err := c.Token(t.Context()); err != nil || token == "" {
		t.Errorf("afterwards: %q, %v", token, err)
	}
}

// trip answers without a network, so that a test may have a clock of its own.
type trip func(*http.Request) (int, string)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	return w.Result(), nil
}

// after is the same with a Retry-After.
func (f trip) after(wait string) http.RoundTripper {
	return waiting{f, wait}
}

type waiting struct {
	trip

	wait string
}

func (w waiting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.trip.RoundTrip(r)
	res.Header.Set("Retry-After", w.wait)
	return res, err
}

func TestToken_IsRenewedEarlyAndUsedWhileItHolds(t *testing.T) {
	for _, seconds := range []string{"3600", `"3600"`, "3600.5"} {
		synctest.Test(t, func(t *testing.T) {
			asked, up := 0, true
			c := oauth2.New(oauth2.Config{
				URL: "https://login.test/token", ClientID: "c", Secret: func() (safe.Secret, error) { return "secret", nil },
			}, trip(func(*http.Request) (int, string) {
				asked++
				if !up {
					return 503, ""
				}
				return 200, `{"access_token":"t` + string(rune('0'+asked)) + `","token_type":"bearer","expires_in":` + seconds + `}`
			}))
			want := func(token string, asks int) {
				t.Helper()
				got, err := c.Token(t.Context())
				if got != token || asked != asks || (err == nil) != (token != "") {
					t.Errorf("after %d requests: %q, %v; want %q after %d", asked, got, err, token, asks)
				}
			}
			want("t1", 1)
			time.Sleep(2879 * time.Second)
			want("t1", 1)
			time.Sleep(2 * time.Second) // four fifths of its life are over
			want("t2", 2)
			up = false
			time.Sleep(2900 * time.Second)
			want("t2", 3) // it holds, and is not asked about at every call
			want("t2", 3)
			time.Sleep(31 * time.Second)
			want("t2", 4)
			time.Sleep(700 * time.Second)
			want("", 5)
			up = true
			time.Sleep(time.Millisecond)
			want("t6", 6)
		})
	}
}

// Nobody else sees it fail while the old token holds, and a secret that has expired is better mended before that ends.
func TestToken_SaysOnceThatARenewalFailsWhileTheOldOneHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		asked, up := 0, true
		c := oauth2.New(oauth2.Config{
			URL: "https://login.test/token?key=hunter2", ClientID: "c", Secret: func() (safe.Secret, error) { return "kept secret", nil },
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		}, trip(func(*http.Request) (int, string) {
			asked++
			if !up {
				return 401, `{"error":"invalid_client","error_description":"kept secret of /token?key=hunter2 has expired"}`
			}
			return 200, `{"access_token":"t","token_type":"bearer","expires_in":3600}`
		}))
		get := func() {
			t.Helper()
			if token, err := c.Token(t.Context()); token != "t" || err != nil {
				t.Fatalf("%q, %v; want the token that holds", token, err)
			}
		}
		for spell := 1; spell <= 2; spell++ {
			up = true
			get()
			up = false
			time.Sleep(2881 * time.Second)
			for range 5 {
				get()
				time.Sleep(31 * time.Second)
			}
			up = true
			get()
			if warned, mended := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warned != spell || mended != spell {
				t.Fatalf("warned %d times and mended %d times in %d spells:\n%s", warned, mended, spell, log.String())
			}
		}
		if text := log.String(); !strings.Contains(text, "check client_id") || strings.Contains(text, "kept secret") || strings.Contains(text, "hunter2") {
			t.Errorf("said:\n%s", text)
		}
		// The end of the one who asks is no failure of the endpoint.
		time.Sleep(2881 * time.Second)
		log.Reset()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Token(ended); err != nil || log.Len() > 0 {
			t.Errorf("%v, said %q", err, log.String())
		}
	})
}

func TestToken_RenewsNoSoonerThanTheEndpointAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, up := 0, true
		c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "secret", nil }},
			trip(func(*http.Request) (int, string) {
				asked++
				if !up {
					return 429, ""
				}
				return 200, `{"access_token":"t","token_type":"bearer","expires_in":3600}`
			}).after("300"))
		_, _ = c.Token(t.Context())
		up = false
		for range 299 / 31 {
			time.Sleep(31 * time.Second)
			if asked == 1 {
				time.Sleep(2881 * time.Second)
			}
			if token, err := c.Token(t.Context()); token != "t" || err != nil || asked != 2 {
				t.Fatalf("%q, %v after %d requests; want two", token, err, asked)
			}
		}
	})
}

func TestToken_LifeIsBounded(t *testing.T) {
	for said, want := range map[string]time.Duration{
		`1e300`: 24 * time.Hour, `null`: 5 * time.Minute, `"soon"`: 5 * time.Minute, `60`: time.Minute, `0`: 5 * time.Minute, `"-1"`: 5 * time.Minute, `"NaN"`: 5 * time.Minute, `[1]`: 5 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "secret", nil }},
				trip(func(*http.Request) (int, string) {
					return 200, `{"access_token":"t","token_type":"bearer","expires_in":` + said + `}`
				}))
			if _, err := c.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := time.Until(c.Ends()); got != want {
				t.Errorf("expires_in %s: it ends in %v, want %v", said, got, want)
			}
		})
	}
}

func FuzzToken_OfAnyAnswer(f *testing.F) {
	f.Add(200, `{"access_token":"t","token_type":"bearer","expires_in":3600}`)
	f.Add(400, `{"error":"invalid_scope","error_description":"`+"\x00\u202e"+`"}`)
	f.Add(401, `{"error":["x"]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			status = 200
		}
		c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "kept secret", nil }},
			trip(func(*http.Request) (int, string) { return status, body }))
		token, err := c.Token(t.Context())
		if (token == "") != (err != nil) {
			t.Errorf("token %q and error %v", token, err)
		}
		if status != 200 && err == nil {
			t.Errorf("a token from status %d", status)
		}
		if strings.ContainsAny(token, "\r\n\x00 ") {
			t.Errorf("no header carries %q", token)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 2000 || strings.Contains(err.Error(), "kept secret")) {
			t.Errorf("error %q is not fit for a log", err)
		}
	})
}

func TestToken_IsNotAskedForAgainByThoseWhoWaitedForAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, release := 0, make(chan struct{})
		c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "secret", nil }},
			trip(func(*http.Request) (int, string) {
				asked++
				<-release
				return 503, ""
			}))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := c.Token(t.Context()); err == nil {
					t.Error("a token from an endpoint that is down")
				}
			})
		}
		synctest.Wait() // one asks, the others wait for it
		close(release)
		all.Wait()
		if asked != 1 {
			t.Errorf("asked %d times, want once for all who waited", asked)
		}
		time.Sleep(time.Millisecond)
		if _, err := c.Token(t.Context()); err == nil || asked != 2 {
			t.Errorf("a later call: %v, after %d requests; want a second one", err, asked)
		}
	})
}

func TestToken_HidesTheHeaderThatAnEndpointEchoes(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	k.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": r.Header.Get("Authorization")})
		return true
	})
	_, err := client(k).Token(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Basic ***") {
		t.Errorf("error is %v, want the credentials hidden", err)
	}
}

// Whoever has little time must not spend it all on a renewal: the token that still holds would come too late to be used.
func TestToken_LeavesTimeToUseTheOldOneWhileTheEndpointHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, up := 0, true
		c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "secret", nil }},
			hang(func() bool { asked++; return !up }))
		if token, err := c.Token(t.Context()); token != "t" || err != nil {
			t.Fatalf("%q, %v", token, err)
		}
		up = false
		time.Sleep(81 * time.Second) // of 100
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if token, err := c.Token(ctx); token != "t" || err != nil || ctx.Err() != nil || time.Since(began) != 2*time.Second {
				t.Errorf("%q, %v after %v; want the old token after half of the time", token, err, time.Since(began))
			}
		})
		synctest.Wait() // it asks
		for range 3 {
			if token, err := c.Token(ctx); token != "t" || err != nil || time.Since(began) != 0 {
				t.Errorf("%q, %v after %v; want the old token at once", token, err, time.Since(began))
			}
		}
		all.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want twice", asked)
		}
		time.Sleep(20 * time.Second) // it has ended
		short, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if token, err := c.Token(short); token != "" || !errors.Is(err, context.DeadlineExceeded) || short.Err() == nil {
			t.Errorf("%q, %v; want the end of the context", token, err)
		}
	})
}

// hang is an endpoint that does not answer where it says so, and gives the token "t" for 100 s elsewhere.
type hang func() bool

func (f hang) RoundTrip(r *http.Request) (*http.Response, error) {
	if f() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return trip(func(*http.Request) (int, string) {
		return 200, `{"access_token":"t","token_type":"bearer","expires_in":100}`
	}).RoundTrip(r)
}

// net/http quotes a trailer that it can't read.
func TestToken_HidesWhatIsEchoedInATrailer(t *testing.T) {
	c := oauth2.New(oauth2.Config{URL: "https://login.test/token", Secret: func() (safe.Secret, error) { return "kept secret", nil }}, broken{})
	if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "malformed") || strings.Contains(err.Error(), "kept secret") {
		t.Errorf("error is %v, want the secret hidden", err)
	}
}

// broken is an answer whose trailer echoes the secret.
type broken struct{}

func (broken) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nkept secret\r\n\r\n"
	return http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), r)
}

// What listens there may be no HTTP server at all, and net/http quotes the line that it can't read.
func TestToken_HidesWhatIsEchoedWhereNoHTTPIsSpoken(t *testing.T) {
	for echo, word := range map[string]int{"POST": 1, "Authorization:": 2} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				for in := bufio.NewScanner(conn); in.Scan(); {
					if strings.HasPrefix(in.Text(), echo) {
						_, _ = conn.Write([]byte(strings.Fields(in.Text())[word] + "\r\n"))
						break
					}
				}
				_ = conn.Close()
			}
		}()
		transport := &http.Transport{}
		c := oauth2.New(oauth2.Config{
			URL: "http://" + listener.Addr().String() + "/oauth2/token?key=hunter2", ClientID: "client",
			Secret: func() (safe.Secret, error) { return "kept secret", nil },
		}, transport)
		_, err = c.Token(t.Context())
		transport.CloseIdleConnections()
		_ = listener.Close()
		<-served
		pair := base64.StdEncoding.EncodeToString([]byte("client:kept+secret"))
		if err == nil || !strings.Contains(err.Error(), "malformed HTTP") || !strings.Contains(err.Error(), "***") ||
			strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), pair) {
			t.Errorf("%s is echoed: %v, want it hidden", echo, err)
		}
	}
}
