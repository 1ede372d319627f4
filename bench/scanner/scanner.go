// Package scanner compares readers of the envelope.
package scanner

import (
	"encoding/json"
	"strings"

	"github.com/buger/jsonparser"
	"github.com/tcretry/tcretry"
)

// A Reader finds the envelope in a document.
type Reader struct {
	Name string
	Read func(document []byte) (tcretry.Envelope, bool)
}

// Readers are encoding/json first, to which the others are compared.
var Readers = []Reader{
	{"encoding/json", unmarshal},
	{"jsonparser", each},
	{"tcretry.ParseEnvelope", tcretry.ParseEnvelope},
}

func unmarshal(document []byte) (tcretry.Envelope, bool) {
	var e struct {
		Response *struct {
			Error     struct{ Code, Message string }
			RequestID string `json:"RequestId"`
		}
	}
	if json.Unmarshal(document, &e) != nil || e.Response == nil {
		return tcretry.Envelope{}, false
	}
	r := e.Response
	return tcretry.Envelope{Code: r.Error.Code, Message: r.Error.Message, RequestID: r.RequestID}, true
}

var paths = [][]string{{"Response", "Error", "Code"}, {"Response", "Error", "Message"}, {"Response", "RequestId"}}

// each goes once through the document for all members, as jsonparser's documentation advises.
func each(document []byte) (e tcretry.Envelope, found bool) {
	members := [...]*string{&e.Code, &e.Message, &e.RequestID}
	jsonparser.EachKey(document, func(i int, value []byte, _ jsonparser.ValueType, err error) {
		if err == nil {
			*members[i], err = jsonparser.ParseString(value)
			found = found || err == nil
		}
	}, paths...)
	return e, found
}

// A Document is what is read.
type Document struct {
	Name string
	Text []byte
}

// Documents are a failure, and the whole of a success whose envelope ends where the document does.
var Documents = []Document{
	{"error envelope", []byte(Failure)},
	{"success of 64 KiB", []byte(Head + strings.Repeat(Instance+",", (64<<10)/(len(Instance)+1)) + Instance + Tail)},
}

// Pieces of answers of the service.
const (
	RequestID = "b5b41468-520d-4192-b42f-595cc34b6c1c"
	Failure   = `{"Response":{"Error":{"Code":"AuthFailure.UnauthorizedOperation","Message":"You are not authorized to perform operation ` +
		`(cvm:DescribeInstances) on resource (qcs::cvm:ap-guangzhou:uin/100000000001:instance/*)."},"RequestId":"` + RequestID + `"}}`
	Head     = `{"Response":{"TotalCount":1000,"InstanceSet":[`
	Instance = `{"Placement":{"Zone":"ap-guangzhou-3","ProjectId":0},"InstanceId":"ins-8t8fq2pm","InstanceType":"S5.MEDIUM4","CPU":2,"Memory":4,` +
		`"RestrictState":"NORMAL","InstanceName":"web \"blue\"","InstanceChargeType":"POSTPAID_BY_HOUR","SystemDisk":{"DiskType":"CLOUD_BSSD",` +
		`"DiskId":"disk-0jq1z3x2","DiskSize":50},"DataDisks":null,"PrivateIpAddresses":["172.16.0.17"],"PublicIpAddresses":[],` +
		`"ImageId":"img-487zeit5","CreatedTime":"2024-05-21T08:13:40Z","OsName":"TencentOS Server 3.1","LoginSettings":{"KeyIds":["skey-1a2b3c4d"]},` +
		`"InstanceState":"RUNNING","Tags":[{"Key":"team","Value":"支付"}],"StopChargingMode":"NOT_APPLICABLE","Uuid":"5f2c1f0e-3a51-4c0e-9a41-0c7d0f6f7a11"}`
	Tail = `],"RequestId":"` + RequestID + `"}}`
)
