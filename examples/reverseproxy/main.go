// Reverseproxy puts a Transport into a httputil.ReverseProxy: programs in any language that call the proxy get its retries.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tcretry/tcretry"
	"github.com/tcretry/tcretry/tctest"
)

func main() {
	cloud := tctest.NewServer()
	defer cloud.Close()
	cloud.On("DescribeInstances", tctest.HTTPStatus(http.StatusServiceUnavailable, ""), tctest.Throttle(40, tctest.English), tctest.OK(nil))
	target, err := url.Parse(cloud.URL)
	if err != nil {
		log.Fatal(err)
	}

	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &tcretry.Transport{},
	})
	defer proxy.Close()

	// The caller is a plain client. Its body is kept by the proxy until it is answered.
	req, err := http.NewRequest(http.MethodPost, proxy.URL, strings.NewReader(`{"Limit":1}`))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", "DescribeInstances")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("status %d after %d requests: %s\n", resp.StatusCode, cloud.Count("DescribeInstances"), body)
}
