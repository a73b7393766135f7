# shellcheck shell=bash
# Removes the user's own Docker, cloud account and settings from the environment, so that no test uses them.

for name in $(compgen -v); do
  case $name in
    SECRETBAKE_TEST_STATE) ;;
    AWS_* | DOCKER_* | SECRETBAKE_* | CONTAINER_HOST | CONTAINERS_* | REGISTRY_AUTH_FILE | SOURCE_DATE_EPOCH) unset "$name" ;;
  esac
done
unset name
# A proxy must not be used between a test and a server on this machine.
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY
