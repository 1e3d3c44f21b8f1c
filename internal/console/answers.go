package console

import (
	"fmt"
	"net/http"
	"strconv"
)

// answer returns the console's envelope of an error.
func (e *apiError) answer() answer {
	b := append([]byte(nil), `{"errors":[{"code":`...)
	b = strconv.AppendInt(b, int64(e.code), 10)
	b = append(b, `,"detail":`...)
	if e.detail == "" {
		b = append(b, "null"...)
	} else {
		b = append(appendEscaped(append(b, '"'), e.detail), '"')
	}
	b = append(b, `,"title":"`...)
	b = append(b, e.title...)
	b = append(b, `"}]}`...)
	return answer{status: e.status, contentType: typeJSON, body: b}
}

func ok200(body string) answer {
	return answer{status: http.StatusOK, contentType: typeJSON, body: []byte(body)}
}

// nginx is what a balancer in front of the console says, 429 included: HTML, whatever the client accepts.
func nginx(status int) answer {
	s := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return answer{status: status, contentType: typeHTML, body: []byte("<html>\r\n<head><title>" + s + "</title></head>\r\n" +
		"<body>\r\n<center><h1>" + s + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")}
}

// faulty returns the answer of a kind that does not depend on the request.
func faulty(k Kind) (answer, bool) {
	switch k {
	case Throttle:
		return nginx(http.StatusTooManyRequests), true
	case BadGateway:
		return nginx(http.StatusBadGateway), true
	case Unavailable:
		return nginx(http.StatusServiceUnavailable), true
	case GatewayTimeout:
		return nginx(http.StatusGatewayTimeout), true
	case ServerError:
		return (&apiError{status: 500, code: 5000010, title: "Internal server error", detail: "Server could not process the request"}).answer(), true
	case LoginPage:
		return answer{status: http.StatusOK, contentType: typeHTML,
			body: []byte("<!doctype html><html><head><title>Sign in</title></head><body><form action=\"/login\"></form></body></html>\n")}, true
	case Redirect:
		return answer{status: http.StatusFound, contentType: typeHTML, location: "/login", body: []byte("<a href=\"/login\">Found</a>.\n")}, true
	case ErrorsOK:
		return ok200(`{"data":[],"errors":[{"code":5000010,"detail":"Server could not process the request","title":"Internal server error"}],` +
			`"pagination":{"nextCursor":null,"totalItems":0}}`), true
	case NullData:
		return ok200(`{"data":null,"pagination":{"nextCursor":null,"totalItems":0}}`), true
	}
	return answer{}, false
}
