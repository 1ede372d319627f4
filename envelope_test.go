package tcretry_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

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

// oracle is what encoding/json finds in a document whose objects of interest have no duplicate keys.
func oracle(body []byte) (tcretry.Envelope, bool) {
	body = []byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf"))
	var document, response, failure map[string]json.RawMessage
	var e tcretry.Envelope
	text := func(raw json.RawMessage, to *string) {
		if len(raw) > 0 && raw[0] == '"' {
			json.Unmarshal(raw, to)
		}
	}
	number := func(raw json.RawMessage) string {
		if len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') {
			return string(raw)
		}
		return ""
	}
	json.Unmarshal(body, &document)
	if raw := document["Response"]; len(raw) == 0 || raw[0] != '{' {
		code := number(document["code"])
		if code == "" || code == "0" {
			return e, code == "0"
		}
		text(document["codeDesc"], &e.Code)
		text(document["message"], &e.Message)
		if e.Code == "" {
			e.Code = code
		}
		return e, true
	}
	json.Unmarshal(document["Response"], &response)
	text(response["RequestId"], &e.RequestID)
	text(response["Error"], &e.Message)
	if raw := response["Error"]; len(raw) > 0 && raw[0] == '{' {
		json.Unmarshal(raw, &failure)
		if e.Code = number(failure["Code"]); e.Code == "" {
			text(failure["Code"], &e.Code)
		}
		text(failure["Message"], &e.Message)
	}
	return e, true
}

// hasDuplicates reports whether an object of the document, of whatever depth, has a key twice.
func hasDuplicates(body []byte) bool {
	d := json.NewDecoder(strings.NewReader(string(body)))
	var value func() bool
	value = func() bool {
		token, err := d.Token()
		if err != nil {
			return false
		}
		seen := make(map[string]bool)
		switch token {
		case json.Delim('{'):
			for d.More() {
				key, _ := d.Token()
				name, _ := key.(string)
				if seen[name] || value() {
					return true
				}
				seen[name] = true
			}
			d.Token()
		case json.Delim('['):
			for d.More() {
				if value() {
					return true
				}
			}
			d.Token()
		}
		return false
	}
	return value()
}

// FuzzParseEnvelope holds the scanner against encoding/json.
func FuzzParseEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"Response":{"Error":{"Code":"A.B","Message":"m"},"RequestId":"id"}}`,
		`{"Response":{"RequestId":"id","Set":[1,"\\\"",{"Error":{}}],"Error":{"Message":"\u00e9"}}}`,
		`{"code":4400,"message":"m","codeDesc":"RequestLimitExceeded"}`,
		`{"Response":{"Error":null,"RequestId":null}}`, "\xef\xbb\xbf{}", `{"code":0}`, `{"Response":{"Error":{"Code":-1.5e+3}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := tcretry.ParseEnvelope(body)
		document := []byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf"))
		if !json.Valid(document) || !utf8.Valid(document) || hasDuplicates(document) {
			return
		}
		want, wantOK := oracle(body)
		if got != want || ok != wantOK {
			t.Errorf("%q is %+v, %v; want %+v, %v", body, got, ok, want, wantOK)
		}
	})
}
