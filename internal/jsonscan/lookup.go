package jsonscan

import "encoding/json"

// Lookup returns the bytes of the value at path in an object, keys in exact case, and whether it is there.
// Where a key stands twice the last one counts, as in encoding/json. obj must be valid JSON.
func Lookup(obj []byte, path ...string) ([]byte, bool) {
	if len(path) == 0 {
		return obj, true
	}
	s := Scanner{Data: obj}
	var found []byte
	err := s.Object(func(key []byte) error {
		v, err := s.Value()
		if string(key) == path[0] {
			found = v
		}
		return err
	})
	if err != nil || found == nil {
		return nil, false
	}
	return Lookup(found, path[1:]...)
}

// String returns the text of a JSON string value; false for a value of another kind.
func String(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	s := Scanner{Data: value}
	raw, escaped, err := s.str()
	if err != nil || s.Pos != len(value) {
		return "", false
	}
	if !escaped {
		return string(raw), true
	}
	return unquote(raw)
}

// Bool returns a JSON true or false; ok is false for a value of another kind.
func Bool(value []byte) (v, ok bool) {
	switch string(value) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func unquote(raw []byte) (string, bool) {
	var text string
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	err := json.Unmarshal(quoted, &text)
	return text, err == nil
}
