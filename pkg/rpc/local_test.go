package rpc_test

import (
	"testing"

	"go.uber.org/goleak"

	"souk/pkg/rpc"
	"souk/pkg/rpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func local(testing.TB) (server, client rpc.Transport) {
	l := rpc.NewLocal()
	return l, l
}

func TestLocal(t *testing.T) {
	t.Parallel()
	rpctest.Run(t, local)
}
