# Completions of osier for fish, and of ostree where that is osier.
# To try them: osier completions fish | source

function __osier_complete
    set -l answer (command osier completions fish -- (commandline -opc) (commandline -ct) 2>/dev/null)
    set -l head (string split \t -- $answer[1])
    for line in $answer[2..-1]
        echo -- $head[2]$line
    end
    switch "$head[1]"
        case files
            for path in (__fish_complete_path $head[3])
                echo -- $head[2]$path
            end
        case directories
            for path in (__fish_complete_directories $head[3] '')
                echo -- $head[2]$path
            end
    end
end

complete -c osier -f -a '(__osier_complete)'
if command -q ostree; and test (realpath (command -s ostree)) = (realpath (command -s osier))
    complete -c ostree -f -a '(__osier_complete)'
end
