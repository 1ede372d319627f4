package tc3

import "os"

// Credentials gives the key that a request is signed with. The credentials of the official SDK have this method. It is
// called once for each request, possibly by several goroutines at once, so that keys may rotate.
type Credentials interface {
	// GetCredential returns a consistent triple; token is empty for a permanent key.
	GetCredential() (secretID, secretKey, token string)
}

// Static returns credentials that never change. The token of a permanent key is empty.
func Static(secretID, secretKey, token string) Credentials {
	return static{secretID, secretKey, token}
}

type static struct{ secretID, secretKey, token string }

func (s static) GetCredential() (secretID, secretKey, token string) {
	return s.secretID, s.secretKey, s.token
}

// String hides the key from fmt.
func (static) String() string { return "tc3.Static" }

// GoString hides the key from %#v.
func (static) GoString() string { return "tc3.Static" }

// The variables that FromEnv reads.
const (
	envID    = "TENCENTCLOUD_SECRET_ID"
	envKey   = "TENCENTCLOUD_SECRET_KEY"
	envToken = "TENCENTCLOUD_TOKEN"
)

// FromEnv returns credentials that read the environment variables TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and
// TENCENTCLOUD_TOKEN (optional) at each request. While one that is needed is missing or empty, signing fails with an
// error that names it.
func FromEnv() Credentials { return environment{} }

type environment struct{}

func (environment) GetCredential() (secretID, secretKey, token string) {
	return os.Getenv(envID), os.Getenv(envKey), os.Getenv(envToken)
}
