// Command servicegen writes a new service that is served and whose tests pass, and registers it:
//
//	go run ./tools/servicegen --name=wishlist --shape=storage --database=postgres --entities=list,item
//
// The shape is that of the service's code: "rules" has internal/{domain,service,handler,repository}, "storage" has
// internal/{name}/{name,store,rpc}.go. The database is "postgres" for tables, "documents" for collections of
// pkg/document, or "none". Each entity belongs to the user who creates it and gets create, get, list, update and
// delete, with REST routes and events. A service without a database has no entities: it gets one method that computes
// an answer. An irregular plural follows a colon: person:people.
//
// The command refuses names that are invalid or taken, and overwrites nothing. "make generate" completes the service.
//
// # Templates
//
// A template is an ordinary file of templates/, a service "sample" with the entity "gadget". It compiles and its tests
// run where it is. A template is chosen by its build constraint, over the tags rules, documents and none, so that
//
//	go test -tags rules,documents ./tools/servicegen/templates/...
//
// tests that combination; without tags it is storage over postgres. A file with "gadget" in its name is written once
// for each entity. Comments of their own line mark parts of other files:
//
//	servicegen:each … servicegen:end       once for each entity
//	servicegen:if none … servicegen:end    if the constraint holds
//
// A folder of templates/ that is in places (render.go) becomes a folder of the tree. Manifests of deployments, such as
// a Dockerfile, would get such a folder.
package main
