//go:build !linux

package main

// threadTime is the time on the wall, where the system tells no other.
var threadTime = wallTime
