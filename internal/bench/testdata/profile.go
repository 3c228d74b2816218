// This file is laid over examples/count where a profile is taken: SIGUSR1 starts it,
// SIGUSR2 ends it.
package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		<-signals
		file, err := os.Create(os.Getenv("KAPPA_BENCH_PROFILE"))
		if err == nil {
			err = pprof.StartCPUProfile(file)
		}
		<-signals
		pprof.StopCPUProfile()
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			println("profile:", err.Error())
		}
	}()
}
