//go:build race

package filter

func init() { raceDetector = true }
