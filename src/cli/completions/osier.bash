# Completions of osier for bash, and of ostree where that is osier.
# To try them: source <(osier completions bash)

_osier() {
    local kind= candidate
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS= read -r candidate; do
            COMPREPLY+=("$candidate")
        done
    } < <(command osier completions bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    case $kind in
        files) compopt -o filenames -o default ;;
        directories) compopt -o filenames -o plusdirs ;;
    esac
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace
    fi
}

complete -F _osier osier
if [[ $(type -P ostree) -ef $(type -P osier) ]]; then
    complete -F _osier ostree
fi
