package main

// This file describes the gateway's routes that are not methods of a contract.

// Tags of these routes.
const (
	tagSignIn   = "Sign-in"
	tagWebhooks = "Webhooks"
	tagHealth   = "Health"
)

var extraTags = []object{
	{
		"name":        tagSignIn,
		"description": "Sign-in of browsers, by the OpenID Connect code flow. The session is a cookie.",
	},
	{"name": tagWebhooks, "description": "Notices of payment providers."},
	{"name": tagHealth, "description": "Is the gateway alive, and does it take requests?"},
}

// extraPaths returns the operations. Each call makes new objects.
func extraPaths() map[string]map[string]object {
	return map[string]map[string]object{
		"/auth/login": {"get": extra("beginLogin", tagSignIn, "Sends the browser to the sign-in provider", "303",
			"The provider's page, in Location; a cookie keeps the state for 10 minutes.", "503",
			query("returnTo", "Path of this site to come back to; / when empty.", false, 2048))},
		"/auth/callback": {
			"get": extra("completeLogin", tagSignIn, "Takes the browser back from the provider and opens a session",
				"303", "The path that returnTo gave, in Location; the session is a cookie.", "401",
				query("code", "The provider's code.", false, 0),
				query("state", "The state that /auth/login made.", false, 0),
				query("error", "Why the provider refused.", false, 0)),
		},
		"/auth/logout":                     {"post": logoutOperation()},
		"/v1/webhooks/payments/{provider}": {"post": webhookOperation()},
		"/health/live": {
			"get": extra("live", tagHealth, "Is the gateway alive?", "200", "It is.", ""),
		},
		"/health/ready": {
			"get": extra("ready", tagHealth, "Does the gateway take requests?", "200", "It does.", "503"),
		},
	}
}

func logoutOperation() object {
	operation := extra(
		"logout",
		tagSignIn,
		"Ends the session of the cookie",
		"204",
		"Signed out. Location, if it is there, is where the browser goes to sign out of the provider, too.",
		"403",
		object{
			"name":        "everywhere",
			"in":          "query",
			"schema":      object{"type": "boolean"},
			"description": "End all sessions of the user.",
		},
	)
	operation["responses"].(object)["303"] = object{
		"description": "The same for a form that a browser posts: on to the provider, or to /.",
	}
	return operation
}

func webhookOperation() object {
	operation := extra(
		"receiveWebhook",
		tagWebhooks,
		"Takes a payment provider's signed notice",
		"204",
		"Taken, now or before.",
		"401",
		object{
			"name":        "provider",
			"in":          "path",
			"required":    true,
			"schema":      object{"type": "string"},
			"description": "Short name of the provider, e.g. sandbox.",
		},
		object{
			"name":        "Souk-Sandbox-Signature",
			"in":          "header",
			"schema":      object{"type": "string"},
			"description": "The sandbox's signature of the body.",
		},
	)
	operation["requestBody"] = object{
		"required": true,
		"content":  object{"application/json": object{"schema": object{}}},
	}
	operation["responses"].(object)["400"] = problemReference
	return operation
}

var problemReference = object{"$ref": "#/components/responses/Problem"}

func extra(id, tag, summary, status, answer, failure string, parameters ...any) object {
	responses := object{status: object{"description": answer}, "default": problemReference}
	if failure != "" {
		responses[failure] = problemReference
	}
	operation := object{
		"operationId": id,
		"tags":        []string{tag},
		"summary":     summary,
		"security":    []object{},
		"responses":   responses,
	}
	if len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	return operation
}

func query(name, description string, required bool, maxLength int) object {
	schema := object{"type": "string"}
	if maxLength > 0 {
		schema["maxLength"] = maxLength
	}
	return object{"name": name, "in": "query", "required": required, "schema": schema, "description": description}
}
