
function __fish_secretbake_names -a what
    set -l words (commandline -opc)
    set -l options
    for i in (seq 2 (math (count $words) - 1))
        set -l next $words[(math $i + 1)]
        switch $words[$i]
            case --org
                set -a options --org $next
            case --credential
                test $what = secrets; and set -a options --credential $next
            case test
                test $what = secrets; and not string match -q -- '-*' $next; and set -a options --credential $next
        end
    end
    secretbake __complete $options $what -- (commandline -ct) 2>/dev/null
end

function __fish_secretbake_wants_credential
    set -l words (commandline -opc)
    test (count $words) -ge 3
    and test $words[-2] = credential
    and contains -- $words[-1] edit show default test remove
end

complete -c secretbake -n __fish_secretbake_wants_credential -f -a "(__fish_secretbake_names credentials)"
complete -c secretbake -n "__fish_secretbake_using_subcommand policy" -l credential -x -a "(__fish_secretbake_names credentials)"
complete -c secretbake -n "__fish_secretbake_using_subcommand secrets; and __fish_seen_subcommand_from list" -l credential -x -a "(__fish_secretbake_names credentials)"
complete -c secretbake -n "__fish_secretbake_using_subcommand secrets; and __fish_seen_subcommand_from list" -l prefix -x -a "(__fish_secretbake_names secrets)"
complete -c secretbake -n "__fish_secretbake_using_subcommand credential; and __fish_seen_subcommand_from test" -l secret -x -a "(__fish_secretbake_names secrets)"
