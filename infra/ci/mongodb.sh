#!/usr/bin/env bash
# Starts MongoDB 7 as a replica set of one on 127.0.0.1:27017, with docker: a service container of GitHub
# takes no arguments.
set -euo pipefail
image=mongo:7.0.25
docker run --detach --name mongodb --publish 127.0.0.1:27017:27017 --tmpfs /data/db "$image" --replSet rs0 --bind_ip_all
for _ in $(seq 60); do
  if docker exec mongodb mongosh --quiet --eval \
    'try { rs.initiate({_id: "rs0", members: [{_id: 0, host: "127.0.0.1:27017"}]}) } catch (e) { if (e.code !== 23) throw e }
     if (!db.hello().isWritablePrimary) quit(1)' 2>/dev/null; then
    echo "MongoDB is a primary"
    exit 0
  fi
  sleep 1
done
docker logs --tail 50 mongodb >&2
echo "mongodb.sh: MongoDB is no primary after a minute" >&2
exit 1
