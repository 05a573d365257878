package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/cmd/souk/internal/explain"
	"souk/pkg/redisx"
)

// allSlots is the number of hash slots that the masters of a cluster share.
const allSlots = "16384"

// redisNode is what a server says of itself.
type redisNode struct {
	addr, role, policy string
	replicas           string
}

// examineRedis checks that Redis answers, that all servers of a cluster do and serve all keys, and that none evicts.
func examineRedis(ctx context.Context, s *Souk) []diagnosis {
	const what = "Redis"
	if s.redisErr != nil {
		return []diagnosis{{
			what, explain.Error(s.redisErr), "set redis.addr, redis.sentinels or redis.cluster in the configuration",
		}}
	}
	began := time.Now()
	client, err := redisx.Open(ctx, s.redis)
	if err != nil {
		return []diagnosis{{what, explain.Error(err), "is Redis running at " + s.redis.Where() + "?"}}
	}
	defer client.Close()
	took := time.Since(began).Round(time.Millisecond).String()
	nodes, silent := redisNodes(ctx, client)
	list := []diagnosis{
		{what: what, found: "answers, connected in " + took + ": " + describeRedis(client.Mode(), nodes)},
	}
	if len(silent) > 0 {
		list = append(list, diagnosis{
			"nodes of Redis",
			"no answer from " + strings.Join(silent, ", "),
			"start them, or forget them (CLUSTER FORGET)",
		})
	}
	if client.Mode() == rueidis.ClientModeCluster {
		list = append(list, examineSlots(ctx, client))
	}
	return append(list, examineEviction(nodes))
}

// redisNodes asks each server, in the order of their addresses. It also returns the addresses of those that don't
// answer.
func redisNodes(ctx context.Context, client rueidis.Client) (nodes []redisNode, silent []string) {
	for addr, node := range client.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Build()).ToString()
		if err != nil {
			silent = append(silent, addr)
			continue
		}
		nodes = append(nodes, redisNode{
			addr: addr, role: field(info, "role"), policy: field(info, "maxmemory_policy"),
			replicas: field(info, "connected_slaves"),
		})
	}
	slices.SortFunc(nodes, func(a, b redisNode) int { return strings.Compare(a.addr, b.addr) })
	slices.Sort(silent)
	return nodes, silent
}

func describeRedis(mode rueidis.ClientMode, nodes []redisNode) string {
	masters, replicas := 0, 0
	for _, n := range nodes {
		if n.role == "master" {
			masters++
		} else {
			replicas++
		}
	}
	switch {
	case mode == rueidis.ClientModeCluster:
		return fmt.Sprintf("a cluster of %d masters and %d replicas", masters, replicas)
	case len(nodes) == 0:
		return "it does not say what it is"
	case mode == rueidis.ClientModeSentinel:
		return fmt.Sprintf("the primary of the sentinels is %s, with %s replicas", nodes[0].addr, nodes[0].replicas)
	}
	return fmt.Sprintf("one server with %s replicas", nodes[0].replicas)
}

// examineSlots checks that each key of a cluster has a master that answers.
func examineSlots(ctx context.Context, client rueidis.Client) diagnosis {
	const what = "slots of Redis"
	info, err := client.Do(ctx, client.B().ClusterInfo().Build()).ToString()
	if err != nil {
		return diagnosis{what, explain.Error(err), "look at the logs of the nodes"}
	}
	if state, served := field(
		info,
		"cluster_state",
	), field(
		info,
		"cluster_slots_ok",
	); state != "ok" ||
		served != allSlots {
		return diagnosis{
			what,
			fmt.Sprintf("%s of %s are served, the state is %s", served, allSlots, state),
			"redis-cli --cluster check shows which master is away; start it, or let its replica take over " +
				"(CLUSTER FAILOVER FORCE)",
		}
	}
	return diagnosis{what: what, found: "all are served"}
}

// examineEviction checks that Redis keeps what it has: sessions, carts and answers to Idempotency-Keys.
func examineEviction(nodes []redisNode) diagnosis {
	const what = "memory of Redis"
	for _, n := range nodes {
		if n.policy != "noeviction" {
			return diagnosis{
				what,
				fmt.Sprintf("%s has maxmemory-policy %s: at its limit it deletes sessions and carts", n.addr, n.policy),
				"CONFIG SET maxmemory-policy noeviction, and the same in its configuration",
			}
		}
	}
	return diagnosis{what: what, found: "nothing is evicted"}
}

// field returns a value of the answer to INFO or CLUSTER INFO, which begins with the text's format in RESP3.
func field(info, name string) string {
	for line := range strings.Lines(strings.TrimPrefix(info, "txt:")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
