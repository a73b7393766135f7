
_secretbake_names() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" what="" options=() i
    case "${prev}" in
        --credential) what=credentials ;;
        --secret | --prefix) what=secrets ;;
        edit | show | default | test | remove)
            if [[ "${COMP_CWORD}" -ge 2 && "${COMP_WORDS[COMP_CWORD-2]}" == credential && "${cur}" != -* ]]; then
                what=credentials
            fi
            ;;
    esac
    if [[ -z "${what}" ]]; then
        _secretbake "$@"
        return
    fi
    for ((i = 1; i < COMP_CWORD - 1; i++)); do
        case "${COMP_WORDS[i]}" in
            --org) options+=(--org "${COMP_WORDS[i+1]}") ;;
            --credential) [[ "${what}" == secrets ]] && options+=(--credential "${COMP_WORDS[i+1]}") ;;
            test) [[ "${what}" == secrets && "${COMP_WORDS[i+1]}" != -* ]] && options+=(--credential "${COMP_WORDS[i+1]}") ;;
        esac
    done
    # names hold neither spaces nor patterns
    COMPREPLY=($(secretbake __complete "${options[@]}" "${what}" -- "${cur}" 2>/dev/null))
}
complete -F _secretbake_names -o nosort -o bashdefault -o default secretbake
