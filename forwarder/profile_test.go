package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profile writes into files of a directory, each for half a second, what the process spends its time on: make pgo does not let it end
// by itself.
func profile(dir string) {
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d-%d.pprof", os.Getpid(), i)))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		time.Sleep(500 * time.Millisecond)
		pprof.StopCPUProfile()
		_ = f.Close() // the last one is not whole anyway
	}
}
