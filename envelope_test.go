package tcretry_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tcretry/tcretry"
)

func TestParseEnvelope(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 100_000)
	tests := []struct {
		name, body string
		want       tcretry.Envelope
		ok         bool
	}{
		{"success", `{"Response":{"TotalCount":0,"RequestId":"id"}}`, tcretry.Envelope{RequestID: "id"}, true},
		{"failure", `{"Response":{"Error":{"Code":"A.B","Message":"m"},"RequestId":"id"}}`, tcretry.Envelope{Code: "A.B", Message: "m", RequestID: "id"}, true},
		{"RequestId first", `{"Response":{"RequestId":"id","Error":{"Message":"m","Code":"A.B"}}}`, tcretry.Envelope{Code: "A.B", Message: "m", RequestID: "id"}, true},
		{"white space", " \r\n\t{ \"Response\" : { \"Error\" : { \"Code\" : \"A\" , \"Message\" : \"m\" } , \"RequestId\" : \"id\" } } ", tcretry.Envelope{Code: "A", Message: "m", RequestID: "id"}, true},
		{"byte order mark", "\xef\xbb\xbf" + `{"Response":{"RequestId":"id"}}`, tcretry.Envelope{RequestID: "id"}, true},
		{"escapes", `{"\u0052esponse":{"Err\u006fr":{"C\u006fde":"A\u002eB","Message":"\ud83d\ude00\n\"q\""},"RequestId":"\u0069d"}}`, tcretry.Envelope{Code: "A.B", Message: "😀\n\"q\"", RequestID: "id"}, true},
		{"unknown keys", `{"x":[{"Error":{"Code":"no"}}],"Response":{"Set":[{"Error":{"Code":"no"},"RequestId":"no"}],"n":-1.5e3,"t":true,"z":null,"s":"\\","RequestId":"id"}}`, tcretry.Envelope{RequestID: "id"}, true},
		{"Error is null", `{"Response":{"Error":null,"RequestId":"id"}}`, tcretry.Envelope{RequestID: "id"}, true},
		{"Error is a string", `{"Response":{"Error":"x","RequestId":"id"}}`, tcretry.Envelope{Message: "x", RequestID: "id"}, true},
		{"Code is a number", `{"Response":{"Error":{"Code":4400,"Message":"m"},"RequestId":"id"}}`, tcretry.Envelope{Code: "4400", Message: "m", RequestID: "id"}, true},
		{"Code is something else", `{"Response":{"Error":{"Code":{"Code":"no"},"Message":["no"]},"RequestId":"id"}}`, tcretry.Envelope{RequestID: "id"}, true},
		{"RequestId is something else", `{"Response":{"Error":{"Code":"A"},"RequestId":7}}`, tcretry.Envelope{Code: "A"}, true},
		{"no RequestId", `{"Response":{"Error":{"Code":"A"}}}`, tcretry.Envelope{Code: "A"}, true},
		{"duplicate keys", `{"Response":{"Error":{"Code":"A","Code":"B"},"RequestId":"id"}}`, tcretry.Envelope{Code: "B", RequestID: "id"}, true},
		{"other case", `{"response":{"error":{"code":"A"}}}`, tcretry.Envelope{}, false},
		{"cut in the code", `{"Response":{"RequestId":"id","Error":{"Code":"A`, tcretry.Envelope{RequestID: "id"}, true},
		{"cut behind the code", `{"Response":{"Error":{"Code":"A","Mess`, tcretry.Envelope{Code: "A"}, true},
		{"malformed behind the error", `{"Response":{"RequestId":"id","Error":{"Code":"A"}}]]]`, tcretry.Envelope{Code: "A", RequestID: "id"}, true},
		{"old failure", `{"code":4400,"message":"m","codeDesc":"RequestLimitExceeded"}`, tcretry.Envelope{Code: "RequestLimitExceeded", Message: "m"}, true},
		{"old failure without a name", `{"code":4400,"message":"m"}`, tcretry.Envelope{Code: "4400", Message: "m"}, true},
		{"old success", `{"code":0,"message":"m","codeDesc":"Success","data":{}}`, tcretry.Envelope{}, true},
		{"not old", `{"code":"E1","message":"m"}`, tcretry.Envelope{}, false},
		{"deep", `{"Response":{"x":` + deep, tcretry.Envelope{}, true},
		{"deep array", strings.Repeat("[", 100_000), tcretry.Envelope{}, false},
		{"empty", "", tcretry.Envelope{}, false},
		{"HTML", "<html><body>502</body></html>", tcretry.Envelope{}, false},
		{"array", `[{"Response":{"Error":{"Code":"A"}}}]`, tcretry.Envelope{}, false},
		{"string", `"Response"`, tcretry.Envelope{}, false},
		{"number", "17 ", tcretry.Envelope{}, false},
		{"empty object", "{}", tcretry.Envelope{}, false},
		{"Response is null", `{"Response":null}`, tcretry.Envelope{}, false},
		{"invalid UTF-8", "{\"Response\":{\"Error\":{\"Code\":\"A\xff\"},\"RequestId\":\"id\"}}", tcretry.Envelope{Code: "A\ufffd", RequestID: "id"}, true},
		{"no colon", `{"Response" {}}`, tcretry.Envelope{}, false},
		{"no comma", `{"Response":{"RequestId":"id" "Error":{"Code":"A"}}}`, tcretry.Envelope{RequestID: "id"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := tcretry.ParseEnvelope([]byte(test.body))
			if got != test.want || ok != test.ok {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

// oracle is what encoding/json finds in a document. Of a member that comes twice the last one counts, of those before
// enough is known.
func oracle(body []byte) (tcretry.Envelope, bool) {
	var old tcretry.Envelope
	var number string
	for _, m := range members(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) {
		switch m.key {
		case "Response":
			if m.raw[0] == '{' {
				return responseOracle(m.raw), true
			}
		case "code":
			number = numberOf(m.raw)
		case "codeDesc":
			old.Code = textOf(m.raw)
		case "message":
			old.Message = textOf(m.raw)
		}
	}
	if number == "" || number == "0" {
		return tcretry.Envelope{}, number == "0"
	}
	old.Code = cmp.Or(old.Code, number)
	return old, true
}

func responseOracle(raw json.RawMessage) (e tcretry.Envelope) {
	for _, m := range members(raw) {
		switch m.key {
		case "RequestId":
			e.RequestID = textOf(m.raw)
		case "Error":
			e.Code, e.Message = "", textOf(m.raw)
			for _, f := range members(m.raw) {
				switch f.key {
				case "Code":
					e.Code = cmp.Or(textOf(f.raw), numberOf(f.raw))
				case "Message":
					e.Message = textOf(f.raw)
				}
			}
			if m.raw[0] == '{' && e.RequestID != "" {
				return e
			}
		}
	}
	return e
}

// A pair is a member of an object.
type pair struct {
	key string
	raw json.RawMessage
}

// members are those of the object that raw is, in their order.
func members(raw []byte) (all []pair) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return all
		}
		all = append(all, pair{key.(string), value})
	}
	return all
}

func textOf(raw json.RawMessage) (text string) {
	if raw[0] == '"' {
		json.Unmarshal(raw, &text)
	}
	return text
}

func numberOf(raw json.RawMessage) string {
	if raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' {
		return string(raw)
	}
	return ""
}

// FuzzParseEnvelope holds the scanner against encoding/json. No beginning of a document fails where the document does not, as
// long as each member comes once.
func FuzzParseEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"Response":{"Error":{"Code":"A.B","Message":"m"},"RequestId":"id"}}`,
		`{"Response":{"RequestId":"id","Set":[1,"\\\"",{"Error":{}}],"Error":{"Message":"\u00e9"}}}`,
		`{"code":4400,"message":"m","codeDesc":"RequestLimitExceeded"}`,
		`{"Response":{"Error":null,"RequestId":null}}`, "\xef\xbb\xbf{}", `{"code":0}`, `{"Response":{"Error":{"Code":-1.5e+3}}}`,
		`{"Response":{"Error":{"Code":"A"},"Error":null,"RequestId":"id","RequestId":7}}`,
	} {
		f.Add([]byte(seed), uint(len(seed)/2))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint) {
		got, ok := tcretry.ParseEnvelope(body)
		begun, _ := tcretry.ParseEnvelope(body[:min(cut, uint(len(body)))])
		if !json.Valid(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) {
			return
		}
		want, wantOK := oracle(body)
		if got != want || ok != wantOK {
			t.Errorf("%q is %+v, %v; want %+v, %v", body, got, ok, want, wantOK)
		}
		if begun.Failed() && !got.Failed() && plainly(body) {
			t.Errorf("%q is %+v, its first %d bytes %+v", body, got, cut, begun)
		}
	})
}

// TestGeneratedEnvelopes holds the scanner against encoding/json in documents that a fuzzer hardly comes upon: members in any
// order and number, of any type, escaped, spaced and nested.
func TestGeneratedEnvelopes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for range 10_000 {
		body := []byte(object(r, 3))
		got, ok := tcretry.ParseEnvelope(body)
		if want, wantOK := oracle(body); got != want || ok != wantOK || !json.Valid(body) {
			t.Fatalf("%s is %+v, %v; want %+v, %v", body, got, ok, want, wantOK)
		}
		if got.Failed() {
			failed++
		}
	}
	if failed < 500 {
		t.Errorf("only %d of the documents fail", failed)
	}
}

// object is one with known and unknown members, which nests to depth.
func object(r *rand.Rand, depth int) string {
	names := [...][]string{{"x", "Code", "Message", "RequestId"}, {"Code", "Message", "C\\u006fde", "x"}, {"Error", "RequestId", "Error", "\\u0045rror", "x"}, {"Response", "Response", "code", "codeDesc", "message", "x"}}
	if r.IntN(20) == 0 {
		depth = max(depth-1, 0)
	}
	var b strings.Builder
	b.WriteString("{")
	for i := range r.IntN(5) {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(space(r) + `"` + names[depth][r.IntN(len(names[depth]))] + `"` + space(r) + ":" + space(r) + value(r, depth) + space(r))
	}
	return b.String() + space(r) + "}"
}

func value(r *rand.Rand, depth int) string {
	texts := [...]string{`"A.B"`, `""`, `"\"\\"`, `"\u00e9\ud83d\ude00\ud83d"`, "\"\xff\"", `"}{]["`, "0", "4400", "-1.5e+3", "null", "true", "[]", `["Error",{"Code":"no"}]`, "{}"}
	if depth > 0 && r.IntN(2) == 0 {
		return object(r, depth-1)
	}
	return texts[r.IntN(len(texts))]
}

func space(r *rand.Rand) string { return [...]string{"", "", "", " ", "\r\n\t"}[r.IntN(5)] }

// plainly reports whether no member of interest comes twice, nor is escaped, in a document.
func plainly(body []byte) bool {
	for _, names := range [][]string{{`"Response"`, `"code"`}, {`"Error"`}, {`"Code"`}, {`"Message"`}} {
		n := 0
		for _, name := range names {
			n += bytes.Count(body, []byte(name))
		}
		if n > 1 {
			return false
		}
	}
	return !bytes.ContainsRune(body, '\\')
}
