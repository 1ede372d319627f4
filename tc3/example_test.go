package tc3_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tcretry/tcretry/tc3"
)

// How is a request signed?
func ExampleSigner_Sign() {
	body := `{"Limit":1}`
	req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", "DescribeInstances")
	req.Header.Set("X-TC-Version", "2017-03-12")
	req.Header.Set("X-TC-Region", "ap-guangzhou")

	signer := tc3.Signer{Credentials: tc3.Static("AKIDEXAMPLE", "EXAMPLEKEY", "")}
	if err := signer.Sign(req, []byte(body), time.Unix(1551113065, 0)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.ReplaceAll(req.Header.Get("Authorization"), ", ", ",\n  "))
	// Output:
	// TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2019-02-25/cvm/tc3_request,
	//   SignedHeaders=content-type;host,
	//   Signature=4ba9a9ae28f059814d11d12c061f446176384e6775a20429725b711f04fc2cb9
}

// How does a server check a signature?
func ExampleVerify() {
	body := []byte(`{"Limit":1}`)
	req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", nil)
	now := time.Unix(1551113065, 0)
	tc3.Signer{Credentials: tc3.Static("AKIDEXAMPLE", "EXAMPLEKEY", "")}.Sign(req, body, now)

	secrets := func(id string) (string, bool) { return "EXAMPLEKEY", id == "AKIDEXAMPLE" }
	fmt.Println(tc3.Verify(req, body, secrets, now.Add(time.Minute)))
	fmt.Println(tc3.Verify(req, []byte(`{"Limit":100}`), secrets, now))
	err := tc3.Verify(req, body, secrets, now.Add(6*time.Minute))
	fmt.Println(errors.Is(err, tc3.ErrSignatureExpired))
	// Output:
	// <nil>
	// tc3: signature does not match
	// true
}

// What happens without a key in the environment?
func ExampleFromEnv() {
	os.Unsetenv("TENCENTCLOUD_SECRET_ID")
	req, _ := http.NewRequest("POST", "https://cvm.tencentcloudapi.com/", nil)
	err := tc3.Signer{Credentials: tc3.FromEnv()}.Sign(req, nil, time.Now())
	fmt.Println(err)
	// Output: tc3: environment variable TENCENTCLOUD_SECRET_ID is empty
}
