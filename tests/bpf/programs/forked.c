/*
 * forked: the parent opens a connection and uses it, then a child goes on with the client's end. The child's
 * SSL has the parent's address, but is another process's connection.
 */
#include <sys/wait.h>

#include "pair.h"

int main(int argc, char **argv)
{
    static const char before[] = "from the parent, before the fork";
    static const char question[] = "from the child";
    static const char answer[] = "the parent's answer to the child";
    struct pair pair;
    int status;
    pid_t child;

    begin(argc, argv);
    open_pair(&pair, make_context(false), make_context(true), "parent");
    send_all(&pair.client, before, strlen(before));
    receive_all(&pair.server, strlen(before));

    child = fork();
    if (child == 0) {
        struct end end = pair.client;
        name_end(&end, "child-client");
        print_ports(&end);
        send_all(&end, question, strlen(question));
        receive_all(&end, strlen(answer));
        _exit(0);
    }
    receive_all(&pair.server, strlen(question));
    send_all(&pair.server, answer, strlen(answer));
    if (waitpid(child, &status, 0) != child || status)
        die("the child failed");
    printf("child %d\n", child);
    return 0;
}
