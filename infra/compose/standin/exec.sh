#!/bin/sh
# The entry point of a stand-in image: it runs its arguments, as the official image's does.
exec "$@"
