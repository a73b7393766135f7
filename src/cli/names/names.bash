
_secretbake_names() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" what="" options=() i next
    # bash takes --credential=NAME for three words
    if [[ "${cur}" == = ]]; then
        cur=""
    elif [[ "${prev}" == = && "${COMP_CWORD}" -ge 2 ]]; then
        prev="${COMP_WORDS[COMP_CWORD-2]}"
    fi
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
        next="${COMP_WORDS[i+1]}"
        if [[ "${next}" == = ]]; then
            next="${COMP_WORDS[i+2]}"
        fi
        case "${COMP_WORDS[i]}" in
            --org) options+=(--org "${next}") ;;
            --credential) [[ "${what}" == secrets ]] && options+=(--credential "${next}") ;;
            test) [[ "${what}" == secrets && "${next}" != -* ]] && options+=(--credential "${next}") ;;
        esac
    done
    # names hold neither spaces nor patterns
    COMPREPLY=($(secretbake __complete "${options[@]}" "${what}" -- "${cur}" 2>/dev/null))
}
complete -F _secretbake_names -o nosort -o bashdefault -o default secretbake
