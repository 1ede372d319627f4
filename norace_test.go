//go:build !race

package tcretry_test

const raced = false
