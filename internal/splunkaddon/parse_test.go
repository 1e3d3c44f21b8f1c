package splunkaddon

import (
	"fmt"
	"regexp"
	"strings"
)

// expr is an eval expression, parsed.
type expr struct {
	op   string // "text", "number", "field", "call", or an operator
	name string // of a field or function; the text or number itself
	args []*expr
}

var eachToken = regexp.MustCompile(`^(?:("(?:[^"\\]|\\.)*")|('[^']*')|([A-Za-z_][A-Za-z0-9_]*)|(\d+)|(!=|[=(),.]))`)

// parseEval reads an expression of the small part of the language that the add-on keeps to: texts, fields, calls, "=", "!=",
// ".", AND, OR, NOT and brackets, in Splunk's order of precedence.
func parseEval(source string) (*expr, error) {
	p := parser{rest: source}
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.or()
	if err == nil && p.token != "" {
		err = fmt.Errorf("unexpected %q", p.token)
	}
	if err != nil {
		return nil, fmt.Errorf("%w before %.40q", err, p.rest)
	}
	return e, nil
}

type parser struct{ token, rest string }

func (p *parser) next() error {
	p.rest = strings.TrimSpace(p.rest)
	p.token = eachToken.FindString(p.rest)
	if p.token == "" && p.rest != "" {
		return fmt.Errorf("unknown token")
	}
	p.rest = p.rest[len(p.token):]
	return nil
}

func (p *parser) or() (*expr, error)  { return p.chain("OR", p.and) }
func (p *parser) and() (*expr, error) { return p.chain("AND", p.not) }

func (p *parser) chain(word string, operand func() (*expr, error)) (*expr, error) {
	e, err := operand()
	for err == nil && p.token == word {
		if err = p.next(); err != nil {
			break
		}
		var right *expr
		right, err = operand()
		e = &expr{op: word, args: []*expr{e, right}}
	}
	return e, err
}

func (p *parser) not() (*expr, error) {
	if p.token != "NOT" {
		return p.comparison()
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.not()
	return &expr{op: "NOT", args: []*expr{e}}, err
}

func (p *parser) comparison() (*expr, error) {
	left, err := p.concat()
	if err != nil || p.token != "=" && p.token != "!=" {
		return left, err
	}
	op := p.token
	if err := p.next(); err != nil {
		return nil, err
	}
	right, err := p.concat()
	return &expr{op: op, args: []*expr{left, right}}, err
}

func (p *parser) concat() (*expr, error) { return p.chain(".", p.operand) }

func (p *parser) operand() (*expr, error) {
	token := p.token
	if token == "" {
		return nil, fmt.Errorf("the expression ends")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	switch {
	case token == "(":
		e, err := p.or()
		if err == nil && p.token != ")" {
			err = fmt.Errorf("a bracket is open")
		}
		if err != nil {
			return nil, err
		}
		return e, p.next()
	case token[0] == '"':
		return &expr{op: "text", name: unquoted(token)}, nil
	case token[0] == '\'':
		return &expr{op: "field", name: token[1 : len(token)-1]}, nil
	case token[0] >= '0' && token[0] <= '9':
		return &expr{op: "number", name: token}, nil
	case !isName(token):
		return nil, fmt.Errorf("unexpected %q", token)
	case p.token != "(":
		return &expr{op: "field", name: token}, nil
	}
	call := &expr{op: "call", name: token}
	if err := p.next(); err != nil {
		return nil, err
	}
	for p.token != ")" {
		arg, err := p.or()
		if err != nil {
			return nil, err
		}
		call.args = append(call.args, arg)
		if p.token == "," {
			if err := p.next(); err != nil {
				return nil, err
			}
			if p.token == ")" {
				return nil, fmt.Errorf("%s(… ,) lacks an argument", token)
			}
		} else if p.token != ")" {
			return nil, fmt.Errorf("%s( is open", token)
		}
	}
	return call, p.next()
}

func isName(token string) bool {
	return token[0] == '_' || token[0]|0x20 >= 'a' && token[0]|0x20 <= 'z'
}

// unquoted takes a backslash from before a quote and another backslash, and leaves it before anything else.
func unquoted(token string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(token[1 : len(token)-1])
}
