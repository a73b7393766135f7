# shellcheck shell=bash
# Takes out of the environment whatever of the user's own could reach a test: their Docker, cloud account and settings.

for name in $(compgen -v); do
  case $name in
    SECRETBAKE_TEST_STATE) ;;
    AWS_* | DOCKER_* | SECRETBAKE_* | CONTAINER_HOST | CONTAINERS_* | REGISTRY_AUTH_FILE | SOURCE_DATE_EPOCH) unset "$name" ;;
  esac
done
unset name
# A proxy for the outside must not stand between a test and a server on this machine.
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY
