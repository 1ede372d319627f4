package tcretry_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tcretry/tcretry"
)

// Documents that parsers of JSON disagree about, by what RFC 8259 says of them.
var (
	valid = []string{
		`[]`, `{}`, ` [ ] `, "\t{\r\n}\n", `[[]   ]`, `[""]`, `""`, `0`, `-0`, `null`, `true`, `false`, ` 1`, `1 `, `"a"`,
		`[null,1,"1",{}]`, `[1,null,null,null,2]`, `[-1]`, `[-0.0]`, `[123e65]`, `[0e+1]`, `[1E-2]`, `[1E+2]`, `[20e1]`, `[123.456789]`,
		`[0.000000000000000000000000000000000000000000000000000000000000000000000000000001]`,
		`{"a":"b","a":"c"}`, `{"a":"b","a":"b"}`, `{"":0}`, `{"a\u0000b":1}`, `{"a":[]}`, `{"min":-1.0e+28,"max":1.0e+28}`,
		`["\"\\\/\b\f\n\r\t"]`, `["\u0060\u012a\u12AB"]`, `["\uD801\udc37"]`, `["\\u0000"]`, `["\u0000"]`, `["\"",1]`, `["a/*b*/c"]`, `["\u0022"]`,
		`["\uFFFF\uDBFF\uDFFE"]`, "[\"\u2028\u2029\"]", "[\"€𝄞\"]", "[\"\u007f\"]", "[\"\ufeff\"]", `["new\u000Aline"]`, `{"\u0052esponse":0}`,
		`[[[[[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]]]]]`, `{"x":[{"id":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}],"id":"x"}`,
	}
	invalid = []string{
		``, ` `, `[`, `]`, `{`, `}`, `[}`, `{]`, `[1,]`, `[,1]`, `[1,,2]`, `[,]`, `[1 true]`, `[1]]`, `[1]x`, `["a",`, `["a"`, `["`, `"`, `"a`, `{"a":`,
		`{"a":"b"`, `{"a":"b",}`, `{"a":"b",,"c":0}`, `{"a" "b"}`, `{"a":"b"}#`, `{"a":"b"}/**/`, `{a:"b"}`, `{'a':0}`, `{1:1}`, `{"a",0}`, `{:"b"}`, `{"a":1 "b":2}`,
		`[+1]`, `[-]`, `[01]`, `[-01]`, `[.5]`, `[1.]`, `[0x42]`, `[1e]`, `[1e+]`, `[1 000]`, `[NaN]`, `[Infinity]`, `[-Infinity]`, `[- 1]`, `[1a]`, `[True]`, `[nul]`, `[truth]`,
		"[\"\x00\"]", "[\"a\nb\"]", "[\"\t\"]", `["\x00"]`, `["\u00A"]`, `["\uD834\u"]`, `["\a"]`, `["\`, `['a']`, "[\f]", "[\u2060]", "[\v1]", "[\u00a01]",
		`<null>`, `*`, "a\u00e5", "\xe5", `{"a":true} "x"`, `[1]` + "\x00", `["a"],`, strings.Repeat("[", 20_000), strings.Repeat(`[{"":`, 10_000),
		`{"Response":{"RequestId":"id"`, `{"Response":"}}`,
	}
	disputed = []string{
		`[1e400]`, `[-1e+9999]`, `[1e-10000]`, `[100000000000000000000]`, `[-9223372036854775809]`, `[0.4e00669999999999999999999999999999999999]`,
		`["\uDADA"]`, `["\uDd1e\uD834"]`, `["\uD800\n"]`, `["\ud800abc"]`, "[\"\xff\"]", "[\"\xe0\x80\x80\"]", "[\"\xed\xa0\x80\"]", "[\"\xf4\xbf\xbf\xbf\"]",
		"\xef\xbb\xbf{}", "\xff\xfe[\x00]\x00", "\x00[\x00]", strings.Repeat("[", 500) + strings.Repeat("]", 500),
	}
)

// TestDocuments says that every document passes unchanged, that none that is not an envelope is taken for a failure, and that
// the envelope is found around every one that is valid.
func TestDocuments(t *testing.T) {
	for _, group := range []struct {
		name      string
		documents []string
	}{{"valid", valid}, {"invalid", invalid}, {"disputed", disputed}} {
		for _, document := range group.documents {
			ok := json.Valid([]byte(document))
			if group.name != "disputed" && ok != (group.name == "valid") {
				t.Errorf("%.60q is not %s", document, group.name)
			}
			if a := passes(t, document); a.Class != tcretry.OK || a.Failed() {
				t.Errorf("%.60q is %v, %+v", document, a.Class, a.Envelope)
			}
			a := passes(t, `{"Set":[`+document+`],"Response":{"Item":`+document+`,"RequestId":"id","Error":{"Detail":`+document+`,"Code":"AuthFailure"}}}`)
			if ok && len(document) < 2000 && (a.Code != "AuthFailure" || a.RequestID != "id") {
				t.Errorf("around %.60q is %+v", document, a.Envelope)
			}
		}
	}
}

// passes sends document through a Transport, in pieces of several sizes, and returns what the Transport made of it.
func passes(t *testing.T, document string) (attempt tcretry.Attempt) {
	t.Helper()
	for _, sizes := range [][]byte{nil, {1}, {7, 0, 200}} {
		s := over(nil, nil)
		s.base.RoundTripper = baseFunc(func(*http.Request) (*http.Response, error) {
			resp := answer(document)
			resp.Body = io.NopCloser(&pieces{[]byte(document), sizes, io.EOF, true})
			return resp, nil
		})
		req, _ := http.NewRequest("GET", "https://cvm.tencentcloudapi.com/", nil)
		o := s.do(t, req, nil)
		if o.err != nil || o.body != document {
			t.Errorf("%.60q in pieces of %v is %.60q, %v", document, sizes, o.body, o.err)
		}
		if a := o.last(); sizes != nil && a.Envelope != attempt.Envelope {
			t.Errorf("%.60q in pieces of %v is %+v, want %+v", document, sizes, a.Envelope, attempt.Envelope)
		}
		attempt = o.last()
	}
	return attempt
}
