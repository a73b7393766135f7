/* windows-pipe.exe PIPE PORT: serves a named pipe of Windows, as Docker Desktop does, and relays each connection to a TCP port of this machine. */
#include <winsock2.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

struct ends {
    HANDLE pipe;
    SOCKET socket;
};

/* Reads or writes. A pipe of both directions needs overlapped input and output, or a read would hold up every write. */
static DWORD transfer(HANDLE pipe, BOOL is_write, char *buffer, DWORD size) {
    OVERLAPPED state = {0};
    DWORD done = 0;
    state.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    BOOL is_done = is_write ? WriteFile(pipe, buffer, size, NULL, &state) : ReadFile(pipe, buffer, size, NULL, &state);
    if ((is_done || GetLastError() == ERROR_IO_PENDING) && !GetOverlappedResult(pipe, &state, &done, TRUE)) done = 0;
    CloseHandle(state.hEvent);
    return done;
}

static DWORD WINAPI to_pipe(void *argument) {
    struct ends *ends = argument;
    static __thread char buffer[65536];
    int size;
    while ((size = recv(ends->socket, buffer, sizeof buffer, 0)) > 0)
        for (int at = 0; at < size;) {
            DWORD written = transfer(ends->pipe, TRUE, buffer + at, size - at);
            if (written == 0) return 0;
            at += written;
        }
    FlushFileBuffers(ends->pipe);
    DisconnectNamedPipe(ends->pipe);
    return 0;
}

static DWORD WINAPI serve(void *argument) {
    struct ends *ends = argument;
    static __thread char buffer[65536];
    HANDLE back = CreateThread(NULL, 0, to_pipe, ends, 0, NULL);
    DWORD size;
    while ((size = transfer(ends->pipe, FALSE, buffer, sizeof buffer)) > 0)
        if (send(ends->socket, buffer, size, 0) != (int)size) break;
    shutdown(ends->socket, SD_BOTH);
    WaitForSingleObject(back, INFINITE);
    closesocket(ends->socket);
    CloseHandle(ends->pipe);
    CloseHandle(back);
    free(ends);
    return 0;
}

int main(int count, char **arguments) {
    WSADATA data;
    if (count != 3 || WSAStartup(MAKEWORD(2, 2), &data)) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int is_first = 1;; is_first = 0) {
        struct ends *ends = malloc(sizeof *ends);
        OVERLAPPED state = {0};
        DWORD ignored;
        ends->pipe = CreateNamedPipeA(arguments[1], PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE | PIPE_WAIT,
                                      PIPE_UNLIMITED_INSTANCES, 65536, 65536, 0, NULL);
        if (ends->pipe == INVALID_HANDLE_VALUE) return 1;
        if (is_first) {
            puts("ready");
            fflush(stdout);
        }
        state.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
        if (!ConnectNamedPipe(ends->pipe, &state) && GetLastError() == ERROR_IO_PENDING)
            GetOverlappedResult(ends->pipe, &state, &ignored, TRUE);
        CloseHandle(state.hEvent);
        ends->socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(ends->socket, (struct sockaddr *)&address, sizeof address)) return 1;
        CloseHandle(CreateThread(NULL, 0, serve, ends, 0, NULL));
    }
}
