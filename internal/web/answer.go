package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/seed-73111be4/kappa/views"
)

// send writes v as JSON. What cannot be encoded is an error of its own.
func send(w http.ResponseWriter, status int, v any) {
	b, err := encode(v)
	if err != nil {
		status = http.StatusInternalServerError
		b, _ = encode(failure{"the answer cannot be written as JSON: " + err.Error(), "", nil})
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

// encode is json.Marshal without escaping what matters in HTML only, and with a
// newline at the end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// problem is an answer that is an error.
type problem struct {
	status  int
	text    string
	hint    string
	waiting []waiting
}

func (p *problem) Error() string { return p.text }

// failure is a problem's JSON.
type failure struct {
	Error   string    `json:"error"`
	Hint    string    `json:"hint,omitempty"`
	Waiting []waiting `json:"waiting,omitempty"`
}

// waiting is one partition that a view has not followed far enough.
type waiting struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Want      int64  `json:"want"`
	Have      int64  `json:"have"`
}

func fail(w http.ResponseWriter, p *problem) { send(w, p.status, failure{p.text, p.hint, p.waiting}) }

// row is a row's JSON. Keys and values that are no text have names of their own.
type row struct {
	Key     *string         `json:"key,omitempty"`
	Key64   string          `json:"key64,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"`
	Value64 *string         `json:"value64,omitempty"`
}

// newRow also returns about how many bytes it takes.
func newRow(r views.Row) (row, int, error) {
	var out row
	if utf8.ValidString(r.Key) {
		out.Key = &r.Key
	} else {
		out.Key64 = encode64(r.Key)
	}
	value := r.Value
	if b, ok := value.([]byte); ok {
		if s := string(b); utf8.ValidString(s) {
			value = s
		} else {
			s = encode64(s)
			out.Value64 = &s
			return out, len(r.Key) + len(s), nil
		}
	}
	b, err := encode(value)
	if err != nil {
		return row{}, 0, fmt.Errorf("the value of key %q cannot be written as JSON: %w", r.Key, err)
	}
	out.Value = bytes.TrimSuffix(b, []byte("\n"))
	return out, len(r.Key) + len(b), nil
}

// Base 64 is written without padding, in the alphabet that URLs allow; it is read
// with or without padding.
func encode64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decode64(s string) (string, error) {
	for len(s) > 0 && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	return string(b), err
}
