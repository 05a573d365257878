package rpc_test

import (
	"testing"

	"souk/pkg/rpc/rpctest"
)

func BenchmarkLocal(b *testing.B) { rpctest.Bench(b, local) }
