// Package natsauth says what each service may do on NATS, and answers the server's auth callout.
//
// A process connects with a token that the services which it runs have signed (identity.ConnectToken). The server asks
// about the token, [Respond] answers, and the process may do what these services may, and nothing else:
//
//   - answer calls of the service's own methods, in its queue group
//   - call the methods whose contracts name the service; the gateway calls those that have no services in their
//     contract
//   - publish the service's own events, and dead letters of its consumers
//   - use the durable consumers of the service, which package outbox's Provisioner has created
//   - receive answers under the service's own inbox prefix
//
// All of this follows from contracts and from the registry of services.
package natsauth

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/audit"
	"souk/pkg/identity"
	"souk/pkg/natsrpc"
	"souk/pkg/outbox"
	"souk/pkg/setting"
)

// Operator is the name under which the commands of operators connect.
const Operator = "operator"

// responseTimeout is how long a service may take to answer a call: more than any method may take.
const responseTimeout = 2 * time.Minute

// Permission is what a service may publish and subscribe to. Subjects may have wildcards; a subscription that belongs
// to a queue group names it behind a space.
type Permission struct {
	Publish, Subscribe []string
	// Respond reports whether it may answer messages that it has received.
	Respond bool
}

// InboxPrefix is what the subjects of a service's answers begin with.
func InboxPrefix(service string) string { return "_INBOX." + service }

// PermissionOf returns what a service may do. It returns an empty permission for an unknown one.
func PermissionOf(name string) Permission {
	if name == Operator {
		return operator()
	}
	var p Permission
	for _, s := range services.All() {
		for m := range methods(s) {
			if mayCall(name, m) {
				p.Publish = append(p.Publish, natsrpc.Subject(fullMethod(m)))
			}
		}
		if s.Name == name {
			p.serve(s)
		}
	}
	if name == identity.Gateway {
		p.Publish = append(p.Publish, "$SRV.PING.>") // whether services are ready
	}
	slices.Sort(p.Publish)
	slices.Sort(p.Subscribe)
	return p
}

// serve adds what the service does by itself.
func (p *Permission) serve(s services.Service) {
	p.Respond = true
	// Every process follows changes of settings and flags; see package setting.
	p.Subscribe = append(p.Subscribe, setting.Subjects()...)
	p.Subscribe = append(p.Subscribe, InboxPrefix(s.Name)+".>", natsrpc.Heartbeat(InboxPrefix(s.Name)+".>"))
	p.Publish = append(p.Publish, natsrpc.Heartbeat(">"))
	if s.Contract != nil {
		for i := range s.Contract.Services().Len() {
			contract := s.Contract.Services().Get(i)
			p.Subscribe = append(p.Subscribe, natsrpc.Subject("/"+string(contract.FullName())+"/")+"* "+s.Name)
		}
		for _, verb := range []string{"PING", "INFO", "STATS"} { // the NATS service API
			prefix := "$SRV." + verb
			p.Subscribe = append(p.Subscribe, prefix, prefix+"."+s.Name, prefix+"."+s.Name+".*")
		}
	}
	p.Publish = append(p.Publish, s.Publishes...)
	for m := range methods(s) {
		access, _ := proto.GetExtension(m.Options(), optionsv1.E_Access).(*optionsv1.Access)
		if access.GetPermission() != "" { // what its callers do is in the audit trail
			p.Publish = append(p.Publish, audit.SubjectRecorded(s.Name))
			break
		}
	}
	for _, c := range s.Consumers {
		name := outbox.NewDurable(s.Name, c.Purpose, c.Subjects).Name
		p.Publish = append(p.Publish,
			"$JS.API.CONSUMER.INFO."+outbox.StreamEvents+"."+name,
			"$JS.API.CONSUMER.MSG.NEXT."+outbox.StreamEvents+"."+name,
			"$JS.ACK."+outbox.StreamEvents+"."+name+".>",
		)
		for _, subject := range c.Subjects {
			p.Publish = append(p.Publish, outbox.DeadSubject(name, subject))
		}
	}
}

// operator is what the commands of operators may do: watch and replay events, read and delete dead letters, and find
// the services. They change neither streams nor consumers, but for those that end with the command.
func operator() Permission {
	var p Permission
	for _, stream := range []string{outbox.StreamEvents, outbox.StreamDead} {
		for _, verb := range []string{
			"STREAM.INFO.", "STREAM.MSG.GET.", "STREAM.MSG.DELETE.", "DIRECT.GET.", "CONSUMER.NAMES.", "CONSUMER.LIST.",
		} {
			p.Publish = append(p.Publish, "$JS.API."+verb+stream, "$JS.API."+verb+stream+".>")
		}
	}
	for _, verb := range []string{"CREATE.", "DELETE.", "INFO.", "MSG.NEXT."} {
		// Consumers that end with the command have names that nats.go makes up.
		p.Publish = append(p.Publish, "$JS.API.CONSUMER."+verb+outbox.StreamEvents+".>")
	}
	p.Publish = append(p.Publish, "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.FC.>",
		"$SRV.>", "evt.>")
	p.Subscribe = []string{InboxPrefix(Operator) + ".>"}
	slices.Sort(p.Publish)
	return p
}

// methods yields the methods of a service's contract.
func methods(s services.Service) func(func(protoreflect.MethodDescriptor) bool) {
	return func(yield func(protoreflect.MethodDescriptor) bool) {
		if s.Contract == nil {
			return
		}
		for i := range s.Contract.Services().Len() {
			all := s.Contract.Services().Get(i).Methods()
			for j := range all.Len() {
				if !yield(all.Get(j)) {
					return
				}
			}
		}
	}
}

// mayCall reports whether a contract lets a service call a method. Methods for users and guests are called by the
// gateway, which asserts them.
func mayCall(name string, m protoreflect.MethodDescriptor) bool {
	access, _ := proto.GetExtension(m.Options(), optionsv1.E_Access).(*optionsv1.Access)
	if access.GetLevel() != optionsv1.Level_LEVEL_INTERNAL {
		return name == identity.Gateway
	}
	return len(access.GetServices()) == 0 && slices.Contains(services.Names(), name) ||
		slices.Contains(access.GetServices(), name)
}

func fullMethod(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// user returns the NATS user of a process that runs the services.
func user(publicKey string, names []string) *jwt.UserClaims {
	u := jwt.NewUserClaims(publicKey)
	u.Name = strings.Join(names, "+")
	u.Audience = globalAccount
	for _, name := range names {
		p := PermissionOf(name)
		u.Pub.Allow.Add(p.Publish...)
		u.Sub.Allow.Add(p.Subscribe...)
		if p.Respond {
			u.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: responseTimeout}
		}
	}
	if len(u.Pub.Allow) == 0 { // an empty list would allow everything
		u.Pub.Deny.Add(">")
	}
	if len(u.Sub.Allow) == 0 {
		u.Sub.Deny.Add(">")
	}
	return u
}
