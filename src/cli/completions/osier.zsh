#compdef osier ostree
# Completions of osier for zsh, and of ostree where that is osier.
# To try them: source <(osier completions zsh)

_osier() {
    if [[ $service == ostree && ! ${commands[ostree]:A} -ef ${commands[osier]:A} ]]; then
        _default
        return
    fi
    local -a answer head done_words open_words
    local line text
    answer=("${(@f)$(command osier completions zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    head=("${(@s:	:)answer[1]}")
    [[ -n $head[2] ]] && compset -P "${(b)head[2]}"
    for line in "${(@)answer[2,-1]}"; do
        [[ -n $line ]] || continue
        text=${${line%%	*}//:/\\:}
        [[ -n ${line#*	} ]] && text+=:${line#*	}
        if [[ ${line%%	*} == *[=:/] ]]; then
            open_words+=("$text")
        else
            done_words+=("$text")
        fi
    done
    local found=1
    (( $#done_words )) && _describe -V value done_words && found=0
    (( $#open_words )) && _describe -V value open_words -S '' && found=0
    case $head[1] in
        files) _files && found=0 ;;
        directories) _files -/ && found=0 ;;
    esac
    return found
}

if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _osier "$@"
else
    compdef _osier osier ostree
fi
