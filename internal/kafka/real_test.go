package kafka_test

import (
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

var clusters = testenv.Shared{Options: testenv.Options{Properties: map[string]string{
	"log.initial.task.delay.ms": "3600000", // no retention within a test: their records are of 1970
}}}

func TestMain(m *testing.M) {
	// These tests wait for brokers more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(clusters.Run(m))
}

// What holds on kfake must hold on real Kafka: the package's tests run again, in a
// process of their own, against each kind of broker.
func TestAllOfThisOnRealKafka(t *testing.T) {
	if os.Getenv("KAPPA_TEST_BROKERS") != "" {
		t.Skip("this is that run")
	}
	t.Parallel()
	for _, kind := range []testenv.Kind{testenv.KafkaTV2, testenv.KafkaTV1} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			c := clusters.Kafka(t, kind)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.count=1", "-test.timeout=5m")
			cmd.Env = append(os.Environ(), "KAPPA_TEST_BROKERS="+c.Bootstrap())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
