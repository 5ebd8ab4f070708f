//go:build race

package source

func init() { raceDetector = true }
