//go:build race

package tcretry_test

// raced says that the race detector watches, which makes everything slow.
const raced = true
