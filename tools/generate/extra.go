package main

// This file describes the gateway's routes that are not methods of a contract.

// Tags of these routes.
const (
	tagSignIn   = "Sign-in"
	tagStreams  = "Notices"
	tagWebhooks = "Webhooks"
	tagHealth   = "Health"
)

var extraTags = []object{
	{
		"name":        tagSignIn,
		"description": "Sign-in of browsers, by the OpenID Connect code flow. The session is a cookie.",
	},
	{"name": tagStreams, "description": "Inboxes as server-sent events, and the page behind the links that end mails."},
	{"name": tagWebhooks, "description": "Notices of payment providers."},
	{"name": tagHealth, "description": "Is the gateway alive, and does it take requests?"},
}

// extraPaths returns the operations. Each call makes new objects.
func extraPaths() map[string]object {
	return map[string]object{
		"/auth/login":    {"get": loginOperation()},
		"/auth/callback": {"get": callbackOperation()},
		"/auth/logout":   {"post": logoutOperation()},
		"/v1/webhooks/payments/{provider}": {
			"post": webhookOperation(),
		},
		"/v1/me/notifications:stream": {"get": streamOperation()},
		"/v1/unsubscribe": {
			"get": unsubscribeOperation("showUnsubscribe", "Asks whether mails of a kind shall end",
				"Links in mails lead to this page. It changes nothing."),
			"post": unsubscribeOperation(
				"unsubscribe",
				"Ends the mails of a kind to the recipient of a mail",
				"Mail programs send it (RFC 8058), and the form of the page. It needs no sign-in: the link is the proof.",
			),
		},
		"/health/live": {"get": healthOperation("live", "Is the gateway alive?",
			"A process that does not answer should be restarted.")},
		"/health/ready": {"get": healthOperation("ready", "Does the gateway take requests?",
			"It does while it reaches what it needs and is not about to stop.", "503")},
	}
}

func loginOperation() object {
	return extra("beginLogin", tagSignIn, "Sends the browser to the sign-in provider",
		"Begins the OpenID Connect code flow. A page links to it; a script cannot follow it.",
		object{"303": object{
			"description": "The provider's page. A cookie keeps the state for 10 minutes.",
			"headers":     headers("Location", "Set-Cookie"),
		}},
		[]string{"400", "429", "503"},
		query("returnTo", "Path of this site to come back to; / when empty.", "/cart", 2048))
}

func callbackOperation() object {
	return extra("completeLogin", tagSignIn, "Takes the browser back from the provider and opens a session",
		"The provider sends the browser here. Nothing else calls it.",
		object{"303": object{
			"description": "The path that returnTo gave. The session is a cookie.",
			"headers":     headers("Location", "Set-Cookie"),
		}},
		[]string{"400", "401", "429", "503"},
		query("code", "The provider's code.", "SplxlOBeZQQYbYS6WxSbIA", 0),
		query("state", "The state that /auth/login made.", "af0ifjsldkj", 0),
		query("error", "Why the provider refused.", "access_denied", 0))
}

func logoutOperation() object {
	operation := extra("logout", tagSignIn, "Ends the session of the cookie",
		"A script gets 204, a form that a browser posts is redirected.",
		object{
			"204": object{
				"description": "Signed out. Location, if it is there, is where the browser goes to sign out of the provider, too.",
				"headers":     headers("Location", "Set-Cookie"),
			},
			"303": object{
				"description": "The same for a form that a browser posts: on to the provider, or to /.",
				"headers":     headers("Location", "Set-Cookie"),
			},
		},
		[]string{"400", "401", "403", "429", "503"},
		object{
			"name": "everywhere", "in": "query", "required": false, "schema": object{"type": "boolean"},
			"description": "End all sessions of the user.", "example": true,
		})
	operation["security"] = []object{{"sessionCookie": []string{}}, {}}
	return operation
}

func webhookOperation() object {
	operation := extra("receiveWebhook", tagWebhooks, "Takes a payment provider's signed notice",
		"Only the provider calls it. A notice may come several times; it takes effect once.",
		object{"204": object{"description": "Taken, now or before."}},
		[]string{"400", "401", "404", "413", "429", "503"},
		object{
			"name": "provider", "in": "path", "required": true, "schema": object{"type": "string", "minLength": 1},
			"description": "Short name of the provider.", "example": "sandbox",
		},
		object{
			"name": "Souk-Sandbox-Signature", "in": "header", "required": false, "schema": object{"type": "string"},
			"description": "The sandbox's signature of the body.", "example": "t=1795953600,v1=5257a869e7ec",
		})
	operation["requestBody"] = object{
		"required":    true,
		"description": "The notice, in the provider's form.",
		"content": object{"application/json": object{
			"schema": object{
				"type":        "object",
				"description": "As the provider defines it.",
				"examples":    []any{object{"id": "evt_1"}},
			},
			"example": object{"id": "evt_1"},
		}},
	}
	return operation
}

func streamOperation() object {
	const sample = "id: ntf_" + exampleOfID + "\nevent: notification\ndata: " +
		`{"notification":{"id":"ntf_` + exampleOfID + `","kind":"order_confirmed"},"unreadCount":1}` + "\n\n"
	operation := extra(
		"streamNotifications",
		tagStreams,
		"Sends what comes into the caller's inbox, as it comes",
		"Server-sent events of the type notification. Their data is JSON: notification, as in the list, and unreadCount. "+
			"The stream is silent for 20 seconds at most and lasts for 15 minutes at most. Then the client connects again "+
			"with the header Last-Event-ID, as an EventSource does by itself, and gets what it missed. "+
			"A user may have 5 streams at the same time.",
		object{"200": object{
			"description": "The stream.",
			"content": object{"text/event-stream": object{
				"schema":  object{"type": "string", "description": "Events.", "examples": []any{sample}},
				"example": sample,
			}},
		}},
		[]string{"400", "401", "429", "503"},
		object{
			"name": "maxSeconds", "in": "query", "required": false,
			"schema":      object{"type": "integer", "minimum": 1, "maximum": 900},
			"description": "How long the stream lasts at most.", "example": 60,
		},
		object{
			"name": "Last-Event-ID", "in": "header", "required": false, "schema": object{"type": "string"},
			"description": "The last notification that the client has. Without it, the stream begins now.",
			"example":     "ntf_" + exampleOfID,
		},
	)
	operation["security"] = []object{{"bearerAuth": []string{}}, {"sessionCookie": []string{}}}
	return operation
}

func unsubscribeOperation(id, summary, description string) object {
	const sample = "<!DOCTYPE html><html lang=\"en\">…</html>"
	return extra(id, tagStreams, summary, description,
		object{"200": object{
			"description": "A page for people.",
			"content": object{"text/html": object{
				"schema":  object{"type": "string", "description": "HTML.", "examples": []any{sample}},
				"example": sample,
			}},
		}},
		[]string{"400", "404", "429", "503"},
		object{
			"name":        "token",
			"in":          "query",
			"required":    true,
			"schema":      object{"type": "string", "minLength": 1, "maxLength": 512},
			"description": "What the link holds.",
			"example":     "dXNyXzEgb3JkZXJfc2hpcHBlZA.c2ln",
		})
}

var healthy = object{"status": "ok", "environment": "production"}

func healthOperation(id, summary, description string, failures ...string) object {
	ok := object{
		"description": "It does.",
		"content": object{"application/json": object{
			"schema": object{
				"type": "object", "description": "The state.", "required": []string{"status", "environment"},
				"properties": object{
					"status": object{
						"type":        "string",
						"enum":        []string{"ok", "unavailable"},
						"description": "ok, or what is wrong.",
						"examples":    []any{"ok"},
					},
					"environment": object{
						"type":        "string",
						"enum":        []string{"production", "staging", "development"},
						"description": "What this souk is for.",
						"examples":    []any{"production"},
					},
				},
				"examples": []any{healthy},
			},
			"example": healthy,
		}},
	}
	responses := object{"200": ok}
	for _, status := range failures {
		responses[status] = object{
			"description": "It does not.",
			"content":     ok["content"],
			"headers":     headers("Retry-After"),
		}
	}
	return extra(id, tagHealth, summary, description, responses, []string{"400"})
}

// extraProblems are the shared responses by status.
var extraProblems = map[string]string{
	"400": "BadRequest", "401": "Unauthenticated", "403": "Forbidden", "404": "NotFound", "413": "TooLarge",
	"429": "RateLimited", "503": "Unavailable",
}

func extra(id, tag, summary, description string, responses object, failures []string, parameters ...any) object {
	responses["default"] = problemResponse("UnexpectedProblem")
	for _, status := range failures {
		responses[status] = problemResponse(extraProblems[status])
	}
	operation := object{
		"operationId": id,
		"tags":        []string{tag},
		"summary":     summary,
		"description": description,
		"security":    []object{},
		"responses":   responses,
	}
	if len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	return operation
}

func query(name, description, example string, maxLength int) object {
	schema := object{"type": "string"}
	if maxLength > 0 {
		schema["maxLength"] = maxLength
	}
	return object{
		"name":        name,
		"in":          "query",
		"required":    false,
		"schema":      schema,
		"description": description,
		"example":     example,
	}
}
