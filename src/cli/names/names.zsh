
functions[_secretbake_static]=$functions[_secretbake]
_secretbake() {
    local what i
    local -a options names
    case "${words[CURRENT-1]}" in
        --credential) what=credentials ;;
        --secret | --prefix) what=secrets ;;
        edit | show | default | test | remove)
            if [[ "${words[CURRENT-2]}" == credential && "${words[CURRENT]}" != -* ]]; then
                what=credentials
            fi
            ;;
    esac
    if [[ -z "$what" ]]; then
        _secretbake_static "$@"
        return
    fi
    for ((i = 2; i < CURRENT - 1; i++)); do
        case "${words[i]}" in
            --org) options+=(--org "${words[i+1]}") ;;
            --credential) [[ "$what" == secrets ]] && options+=(--credential "${words[i+1]}") ;;
            test) [[ "$what" == secrets && "${words[i+1]}" != -* ]] && options+=(--credential "${words[i+1]}") ;;
        esac
    done
    names=(${(f)"$(secretbake __complete $options $what -- "$PREFIX" 2>/dev/null)"})
    compadd -a names
}
